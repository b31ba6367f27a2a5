"""Plans that change a graph while it runs: accepted or refused, and made anew after a failure."""
