"""What to try next: the ledger of trials, samplers, Pareto fronts and the engines that run trials."""
