"""The bundled demo model: its drawn world, its questions, its training and its evaluation."""
