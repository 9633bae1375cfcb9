"""What is deployed. One module a construct; `reeldrop.py` wires them."""
