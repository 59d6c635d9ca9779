"What the host may not do while a device computes: ask for a value, or for a shape made of one."

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

ASKING = frozenset("item tolist numpy cpu __bool__ __int__ __float__ __index__ __array__".split())


class Waited(AssertionError):
    "The host had to wait."


def needs_values(function, args, kwargs):
    "Whether an operation cannot be queued before the values of its arguments are there."
    name = function._schema.name
    if name in ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"):
        kinds = [index.dtype for index in args[1] if index is not None]
        return torch.bool in kinds or torch.uint8 in kinds
    if name == "aten::repeat_interleave":
        return kwargs.get("output_size") is None and len(args) < 2
    tags = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)
    return any(tag in function.tags for tag in tags)


class _Asking(TorchFunctionMode):
    "Looks at what is called on tensors."

    def __init__(self, note):
        super().__init__()
        self.note = note

    def __torch_function__(self, function, types, args=(), kwargs=None):
        name, kwargs = getattr(function, "__name__", ""), kwargs or {}
        where = args[1] if len(args) > 1 else kwargs.get("device")
        # a torch.device may be the model's own; the word is the host, wherever the model is
        if name in ASKING or (name == "to" and isinstance(where, str) and where == "cpu"):
            self.note(f"Tensor.{name}")
        return function(*args, **kwargs)


class _Shapes(TorchDispatchMode):
    "Looks at every operation, those of the backward pass as well."

    def __init__(self, note):
        super().__init__()
        self.note = note

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if needs_values(function, args, kwargs):
            self.note(str(function))
        return function(*args, **kwargs)


class no_waits:
    "While inside, whatever would make the host wait raises Waited; with `count`, it is noted."

    def __init__(
        self,
        count=False,  # True: only note it in `found`
    ):
        self.count, self.found = count, []
        self.modes = (_Shapes(self.note), _Asking(self.note))

    def note(self, what):
        "Something made the host wait."
        self.found.append(what)
        if not self.count:
            raise Waited(what)

    def __enter__(self):
        for mode in self.modes:
            mode.__enter__()
        return self

    def __exit__(self, *error):
        for mode in reversed(self.modes):
            mode.__exit__(*error)
