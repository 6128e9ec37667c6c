"""Parts of `benchmarks/capacity.py`: what one unit of work costs, and a fleet made of such units."""
