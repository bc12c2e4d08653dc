"""Train, score every user and publish a run: `recsys nightly`, from a checkout, for cron.

python scripts/nightly.py --store recsys.db --published published
"""

import sys

from recsys.cli.main import main

if __name__ == "__main__":
    sys.argv.insert(1, "nightly")
    main()
