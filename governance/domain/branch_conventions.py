"""Names of branches that mean the same nearly everywhere; a policy may replace each list."""

PROTECTED = (
    "*-stable",
    "hotfix/**",
    "release-[0-9]*",
    "release/**",
    "releases/**",
    "stable*",
    "stable/**",
)
"""Branches that people release from."""

KEPT = (
    "auto",
    "gh-pages",
    "gh-readonly-queue/**",
    "graphite-base/**",
    "gtmq_*",
    "mergify/merge-queue/**",
    "staging",
    "staging-squash-merge.tmp",
    "staging.tmp",
    "trunk-merge/**",
    "try",
    "trying",
    "trying.tmp",
)
"""Branches that bots make, rewrite and delete by themselves, and that sites are served from."""
