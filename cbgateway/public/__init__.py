"""What the public and call-centre staff see: static pages, feed and JSON, by pure functions."""
