"""What runs in the decoding child process: bytes of strangers in, pictures that can be sent out. Raises `Refused`."""
