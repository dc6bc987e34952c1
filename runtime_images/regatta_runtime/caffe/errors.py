"""What can be wrong with a Caffe model. All of it is said when the model is loaded, not while it trains.

CaffeError
    DamagedFileError       a file is cut short, or is not what it should be
    DefinitionError        the definition contradicts itself, or does not fit the weights
    UnsupportedLayerError  a layer, or a setting of one, that this importer does not have
"""


class CaffeError(ValueError):
    """A Caffe model that cannot be loaded; the text says why and what to do."""


class DamagedFileError(CaffeError):
    """A file that is cut short, or is not what it should be."""


class DefinitionError(CaffeError):
    """A definition that contradicts itself, or does not fit the weights."""


class UnsupportedLayerError(CaffeError):
    """A layer, or a setting of one, that this importer does not have."""

    def __init__(self, layer: str, kind: str, why: str = "") -> None:
        self.layer, self.kind = layer, kind
        what = f"its {why} is not supported" if why else "its type is not supported"
        super().__init__(
            f"layer {layer!r} of type {kind!r}: {what}. Cut the definition off before it (the layers that are left "
            "keep their weights) and add what is missing as a torch module, or convert the model elsewhere"
        )
