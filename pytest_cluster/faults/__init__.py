"""Injects faults: kills, pauses, holds steps, makes calls fail; and undoes them."""
