"""What a stored run says, held against the samples that it carries, and against another run."""
