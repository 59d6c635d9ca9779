"""Formulas as MathML, which browsers show without a script, and the font they are set in.

The font is STIX Two Math (SIL Open Font License 1.1), as the package ziamath ships it, without the
characters that the formulas here do not need; its copyright and licence stay inside the file.
"""

import importlib.resources
import re

from latex2mathml.converter import convert

# Letters, Greek, signs and arrows, and the italics that browsers take for single letters.
CHARACTERS = [
    (0x20, 0x17F),
    (0x2C6, 0x2DD),
    (0x300, 0x340),
    (0x391, 0x3F6),
    (0x2000, 0x2100),
    (0x210B, 0x2134),
    (0x2190, 0x2320),
    (0x27E6, 0x27F0),
    (0x1D434, 0x1D468),
    (0x1D6E2, 0x1D71C),
]
OPERATOR = re.compile(r"(<mi>[a-z]{2,}</mi>)(?!<mo stretchy=\"false\">&#x00028;|</)")
BAR = re.compile(r"<mover>(<mi>[^<]+</mi>)<mo stretchy=\"true\">&#x000AF;</mo></mover>")
NORM = re.compile(r"<mo>(&#x02016;|&#x0007C;)</mo>")


def mathml(
    latex: str,
    display: str = "inline",  # or "block"
) -> str:
    "A formula in MathML."
    found = convert(latex, display=display)
    found = OPERATOR.sub(r'\1<mspace width="0.17em"/>', found)  # log x, not logx
    bar = r'<mover accent="true">\1<mo stretchy="false">&#x203E;</mo></mover>'
    found = BAR.sub(bar, found)  # a bar that one sees, at every size
    found = NORM.sub(r'<mo stretchy="false">\1</mo>', found)
    return found


def write_font(
    place,  # a .woff file
):
    "The font, small enough for a page. Needs fontTools, which Matplotlib brings along."
    from fontTools import subset

    options = subset.Options(flavor="woff", layout_features=["*"], name_IDs=["*"])
    name = importlib.resources.files("ziamath") / "fonts" / "STIXTwoMath-Regular.ttf"
    with importlib.resources.as_file(name) as file:
        font = subset.load_font(str(file), options)
        cut = subset.Subsetter(options)
        cut.populate(unicodes=[code for span in CHARACTERS for code in range(*span)])
        cut.subset(font)
        subset.save_font(font, str(place), options)
