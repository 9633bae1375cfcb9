"""What is deployed. Each module builds one part; `reeldrop.py` puts the parts together."""
