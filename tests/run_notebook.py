"""Execute one notebook with its output live on the terminal; leave OUT.ipynb and OUT.html.

    python tests/run_notebook.py nbs/course/00_tour.ipynb runs/demo/tour

A notebook run like this writes what it produces into the folder named by the environment variable
ADREC_NB_RUNS; the tour leaves its table there as results.txt, which `make demo` prints at the end.
Whatever was executed is kept: after an error (exit code 1) or Ctrl-C (130) both files hold the
notebook as far as it came. The page needs no network: figures are inside, and formulas are MathML.
"""

import argparse
import html
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from jinja2 import pass_context
from jupyter_client import AsyncKernelManager
from latex2mathml.converter import convert
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert import HTMLExporter
from nbconvert.filters import strip_ansi
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

# In a notebook tqdm draws a widget, which a terminal cannot show: take its text bar instead.
TEXT_BARS = "import tqdm.auto, tqdm.std\ntqdm.auto.tqdm = tqdm.std.tqdm"


class Terminal:
    "Prints a kernel's output as it comes; in a log file a moving bar becomes a line now and then."

    def __init__(
        self,
        stream=sys.stdout,  # where to print
        every=15.0,  # seconds between two lines of one bar, when not on a terminal
    ):
        self.stream, self.every, self.live = stream, every, stream.isatty()
        self.bar, self.shown, self.at_start = "", time.monotonic(), True

    def write(self, text):
        "Print a piece of output that may hold carriage returns."
        if self.live:
            self._print(text)
            return
        *lines, rest = (self.bar + text).split("\n")
        for line in lines:
            self._print(line.rpartition("\r")[2].rstrip() + "\n")
        if "\r" not in rest:
            self.bar = rest
            return
        self.bar = ("\r" + rest.rpartition("\r")[2]).rstrip()
        if self.bar and time.monotonic() - self.shown > self.every:
            self._print(self.bar.strip() + "\n")

    def line(self, text):
        "Print a line of our own, on a line of its own."
        if self.bar.strip():
            self._print(self.bar.strip() + "\n")
        elif not self.at_start:
            self._print("\n")
        self.bar = ""
        self._print(text + "\n")

    def _print(self, text):
        if text:
            self.stream.write(text)
            self.stream.flush()
            self.at_start, self.shown = text.endswith(("\n", "\r")), time.monotonic()


class LiveClient(NotebookClient):
    "A notebook client that also shows every message of the kernel on the terminal."

    terminal = None

    def process_message(self, msg, cell, cell_index):
        "Show the message, then let nbclient store it in the notebook."
        content = msg["content"]
        if msg["msg_type"] == "stream":
            self.terminal.write(content["text"])
        elif msg["msg_type"] in ("display_data", "execute_result"):
            data = content["data"]
            text = data.get("text/plain", "")
            drawn = any(kind.startswith("image/") for kind in data) or text.startswith("<IPython")
            if not drawn:
                self.terminal.line(text)
        return super().process_message(msg, cell, cell_index)


class Formulas(IPythonRenderer):
    "Markdown as HTML, with formulas in MathML, which browsers show without any script."

    def inline_math(self, body):
        "A formula within a line."
        return convert(html.unescape(body))

    def block_math(self, body):
        "A formula on a line of its own."
        return convert(html.unescape(body), display="block")

    def latex_environment(self, name, body):
        "Several lines of formulas."
        return self.block_math(rf"\begin{{{name}}}{body}\end{{{name}}}")


class Page(HTMLExporter):
    "A notebook as one file that loads nothing and runs nothing."

    @pass_context
    def markdown2html(self, context, source):
        "The filter for markdown cells."
        return MarkdownWithMath(renderer=Formulas(escape=False)).render(source)

    def from_notebook_node(self, nb, resources=None, **how):
        "The page and its resources; scripts of nbconvert's template are left out."
        page, resources = super().from_notebook_node(nb, resources, **how)
        return re.sub(r"<script\b.*?</script>", "", page, flags=re.S), resources


def headings(cell):
    "The heading lines of a markdown cell, without their marks."
    if cell.cell_type != "markdown":
        return []
    return [line.lstrip("# ") for line in cell.source.splitlines() if line.startswith("#")]


def save(nb, out):
    "Write the notebook and its page, each whole or not at all."
    page, _ = Page().from_notebook_node(nb, {"metadata": {"name": out.name}})
    for suffix, text in (".ipynb", nbformat.writes(nb) + "\n"), (".html", page):
        part = out.with_suffix(suffix + ".part")
        part.write_text(text, encoding="utf-8")
        os.replace(part, out.with_suffix(suffix))


def without_empty_streams(nb):
    "Drop what progress bars leave behind when they have wiped themselves: blank text."
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if o.output_type != "stream" or o.text.strip()]
    return nb


def execute(nb, folder, terminal):
    "Run all cells in `folder`, in a fresh kernel reached through a socket file, not the network."
    client = LiveClient(
        nb, timeout=None, coalesce_streams=True, resources={"metadata": {"path": str(folder)}}
    )
    client.terminal = terminal
    with tempfile.TemporaryDirectory(prefix="nb-") as own, open(f"{own}/kernel.log", "w+") as log:
        client.km = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=f"{own}/socket")
        try:
            with client.setup_kernel(cleanup_kc=True, stderr=log):
                run_cells(client, terminal)
        except RuntimeError:  # the kernel died; what it said of itself is in its log
            log.seek(0)
            terminal.write(log.read())
            raise


def run_cells(client, terminal):
    "Execute cell after cell, naming each heading as it is passed."
    client.wait_for_reply(client.kc.execute(TEXT_BARS, silent=True))
    began = time.monotonic()
    for number, cell in enumerate(client.nb.cells):
        seconds = int(time.monotonic() - began)
        for title in headings(cell):
            where = f"[{number + 1:>3}/{len(client.nb.cells)} {seconds // 60:>2}:{seconds % 60:02}]"
            terminal.line(f"{where} {title}")
        try:
            client.execute_cell(cell, number)
        except KeyboardInterrupt:
            client.shutdown_kernel = "immediate"
            raise


def main():
    "Parse the two arguments, execute, save; the exit code says how it went."
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebook", type=Path, help="the notebook to execute")
    parser.add_argument("out", type=Path, help="where to leave the result, without a suffix")
    args = parser.parse_args()
    if not args.notebook.is_file():
        parser.error(f"{args.notebook}: no such notebook")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    columns = min(shutil.get_terminal_size((100, 0)).columns - 1, 100)
    os.environ.setdefault("TQDM_NCOLS", str(columns))
    nb = nbformat.read(args.notebook, as_version=4)
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    terminal, code = Terminal(), 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill is a Ctrl-C
    try:
        execute(nb, args.notebook.parent, terminal)
    except CellExecutionError as error:
        terminal.line(str(error) if terminal.live else strip_ansi(str(error)))
        code = 1
    except RuntimeError as error:
        terminal.line(f"{error}; the machine may have run out of memory.")
        code = 1
    except KeyboardInterrupt:
        terminal.line("Interrupted.")
        code = 130
    save(without_empty_streams(nb), args.out)
    how = "executed" if code == 0 else "executed in part"
    terminal.line(f"{args.out.with_suffix('.ipynb')} and {args.out.with_suffix('.html')}: {how}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
