"""`make bench`: performance, as ratios measured within one run."""
