"""Inject faults: kill, pause, hold steps, make calls fail; and undo them."""
