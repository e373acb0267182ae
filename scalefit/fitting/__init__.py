"""From prepared curves to estimates: solvers, noise, intervals, records."""
