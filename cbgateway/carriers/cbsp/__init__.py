"""CBSP: the gateway as the cell broadcast centre of base station controllers."""
