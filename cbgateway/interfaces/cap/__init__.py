"""CAP 1.2 in and out: alerts that authorities exchange, as bulletins and back."""
