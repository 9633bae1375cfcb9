"""What runs on the GPU: files in, files out, no network, no AWS."""
