"""The same questions put to a rival and to Portway, and their answers compared."""
