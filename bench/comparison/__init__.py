"""The parts of `bench/speed.py`: ours beside stock gunicorn, Node and granian, in one alternating run."""
