"""What runs in Lambda: thin handlers over pure use cases, and one module that knows AWS."""
