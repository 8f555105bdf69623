"""The gateway: a MediaMTX-style YAML file in, HLS for browsers out."""
