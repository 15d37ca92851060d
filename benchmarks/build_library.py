"""Search every graph that ships with rgp, and keep what is better than before: ``make library``.

Writes ``rgp/library/graphs.json``. A graph is better if its average path is shorter or, that being equal, its
spectral gap is larger.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from rich.progress import track

from rgp.files import written_whole
from rgp.library import SIZES, Entry, entries, to_graph6
from rgp.search import search

GRAPHS = Path(__file__).parents[1] / "rgp" / "library" / "graphs.json"


def main() -> None:
    """Search each size for a while and write the library anew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="for each size")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sizes", nargs="*", help="64_8 64_4 ... (default: all)")
    options = parser.parse_args()
    known = dict(entries()) if GRAPHS.exists() else {}
    for nodes, degree in track([s for s in SIZES if not options.sizes or f"{s[0]}_{s[1]}" in options.sizes]):
        size = f"{nodes}_{degree}"
        found = search(nodes, degree, seed=options.seed, seconds=options.seconds)
        graph = found.graph
        entry = Entry(
            graph6=to_graph6(graph.adjacency),
            aspl=graph.aspl,
            spectral_gap=round(graph.spectral_gap, 6),
            symmetry=found.symmetry,
            command=f"rgp-graph search {size} --seed {options.seed} --iterations {found.iterations}",
        )
        old = known.get(size)
        if old is None or (entry.aspl, -entry.spectral_gap) < (old.aspl, -old.spectral_gap):
            known[size] = entry
            print(f"{size}: ASPL {entry.aspl:.4f} (bound {graph.aspl_bound:.4f}), spectral gap {entry.spectral_gap}")
            order = {f"{n}_{d}": asdict(known[f"{n}_{d}"]) for n, d in SIZES if f"{n}_{d}" in known}
            with written_whole(GRAPHS) as file:
                file.write((json.dumps(order, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
