"""Evaluate every system beside its baselines: `recsys evaluate`, from a checkout.

python scripts/evaluate.py --store recsys.db --protocol hourly --json report.json
"""

import sys

from recsys.cli.main import main

if __name__ == "__main__":
    sys.argv.insert(1, "evaluate")
    main()
