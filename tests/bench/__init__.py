"""`make bench`: what cleanups cost, as ratios measured within one run."""
