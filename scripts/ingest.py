"""Read files into the store: `recsys ingest`, from a checkout, for cron.

python scripts/ingest.py logs/ --store recsys.db
"""

import sys

from recsys.cli.main import main

if __name__ == "__main__":
    sys.argv.insert(1, "ingest")
    main()
