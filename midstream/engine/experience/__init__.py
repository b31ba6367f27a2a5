"""Experience: feedback on steps, lessons distilled from it, their use and their measured worth, and reflection."""
