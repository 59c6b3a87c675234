"""Search methods: one choice on each of some independent axes, one file per choice.

| axis | folder | choices |
|---|---|---|
| order | architects/ | first_order, second_order |
| relaxation | relaxations/ | softmax, sigmoid, gumbel, dirichlet |
| regulariser | regularisers/ | zero_one, beta_decay |
| perturbation | perturbations/ | random_and_adversarial, mean_shift |
| schedule | schedules/ | staged, greedy |
| stop | stopping/ | rules (eigenvalue, skip-count, ranking), adapt (eigenvalue-adapt) |

axes.py makes the choices of a config, method.py puts them together. The axis "edges" is a matter of
the supernet, "derivation" of `run.architecture`. docs/methods.md describes every method.
"""
