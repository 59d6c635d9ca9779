"""Draw the picture of README and site from the two runs of the package: teach/collapse.png.

    python teach/picture.py

Both runs learned from the same log of 200 invented films. One had ADRec's three stages, the other
the squared error alone on a table of random numbers: its films have merged.
"""

from io import BytesIO
from pathlib import Path

import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from PIL import Image

from adrec_nb.collapse import singular_values
from adrec_nb.demo import DEMO_WORDS, demo_dataset, demo_run

FILE = Path(__file__).with_name("collapse.png")
TITLES = {"merged": "Squared error alone:\nmerged", "healthy": "All three stages:\nhealthy"}


def cosines(
    table,  # item table (N, D)
) -> np.ndarray:  # (N, N)
    "Cosines between all items."
    unit = table / np.linalg.norm(table, axis=1, keepdims=True)
    return unit @ unit.T


def energy_shares(
    table,  # item table (N, D)
) -> np.ndarray:  # (D,), largest first
    "The part of the table's energy, in %, that lies in each direction."
    energy = np.square(singular_values(table))
    return 100 * energy / energy.sum()


def draw() -> Figure:
    "Two maps of cosines, and the energy of both tables by direction."
    around = list(DEMO_WORDS)  # the kinds as they follow each other on the ring
    kinds = [around.index(labels[0]) for labels in demo_dataset().item_labels[1:]]
    by_kind = np.argsort(kinds, kind="stable")
    tables = {name: demo_run(name).model.item_table[1:].detach().numpy() for name in TITLES}
    fig = Figure(figsize=(10, 3.4), dpi=120, layout="constrained")
    *maps, spectra = fig.subplots(1, 3, width_ratios=[1, 1, 1.3])
    for ax, (name, table) in zip(maps, tables.items(), strict=True):
        image = ax.imshow(cosines(table[by_kind]), cmap="PuOr", vmin=-1, vmax=1)
        ax.set(title=TITLES[name], xlabel="film, kind after kind", xticks=[], yticks=[])
    maps[0].set_ylabel("film, kind after kind")
    fig.colorbar(image, ax=maps, label="cosine of two films", shrink=0.75)
    colours = sns.color_palette("colorblind")
    styles = {"merged": ("o-", colours[3]), "healthy": ("s--", colours[2])}
    for name, table in tables.items():
        style, colour = styles[name]
        shares = energy_shares(table)
        directions = np.arange(1, len(shares) + 1)
        spectra.semilogy(directions, shares, style, color=colour, ms=4, label=name)
    spectra.yaxis.set_major_formatter("{x:g}")
    spectra.set(title="Where the energy lies", xlabel="direction", ylabel="share of energy (%)")
    spectra.legend()
    return fig


if __name__ == "__main__":
    drawn = BytesIO()
    draw().savefig(drawn, metadata={"Software": None})
    image = Image.open(drawn).convert("RGB").quantize(128, dither=Image.Dither.NONE)
    image.save(FILE, optimize=True)
    print(f"{FILE.name}: {FILE.stat().st_size / 1024:.0f} KB")
