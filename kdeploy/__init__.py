"""kdeploy: plan, provision, configure and operate Apache Kafka from files in git.

Read the packages in the order of the flow: `spec` (what is wanted), `planner`
(how much), `tuning` and `blueprint` (every file of every node), then the effects:
`security`, `infra`, `playbooks`, `cluster`, and `operations`, which orders them.
"""

__version__ = "0.1.0"
