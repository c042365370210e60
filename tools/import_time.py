"""Prints the time that `import byhand` takes beyond `import numpy`.

    python tools/import_time.py --most 80

The exit code is 1 if this time is more than --most milliseconds.
"""

import argparse
import statistics
import subprocess
import sys
import time


def milliseconds(code: str) -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return (time.perf_counter() - begin) * 1e3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=float, default=80, help="largest time in milliseconds")
    most = parser.parse_args().most
    milliseconds("import byhand")  # the first import writes the bytecode
    pairs = [(milliseconds("import numpy"), milliseconds("import byhand")) for _ in range(9)]
    cost = statistics.median(with_us - without for without, with_us in pairs)
    print(f"import byhand costs {cost:.0f} ms over import numpy (at most {most:.0f})")
    return int(cost > most)


if __name__ == "__main__":
    sys.exit(main())
