"""The learner: what messages came to, summed over all lines, and what to believe of the next."""
