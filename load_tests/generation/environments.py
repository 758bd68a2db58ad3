"""What the other engines run in, installed by load_tests.compare.environment. Standard library only."""

from __future__ import annotations

from load_tests.compare.contender import TORCH, Contender

OURS = Contender(name="shoal", title="", requirements=(), command=())
TORCHED = Contender(
    name="generation",
    title="transformers and Optimum; makes the weights of all",
    requirements=(
        "transformers==4.57.6",
        TORCH,
        "onnx==1.23.0",
        "onnxruntime==1.32.0",
        "nupunkt==0.8.0",
        "optimum==2.1.0",
        "optimum-onnx==0.1.0",
        "ctranslate2==4.8.5",
    ),
    command=(),
)
# Without torch: the package imports it where it finds it, and with it a second OpenMP.
CTRANSLATE2 = Contender(
    name="ctranslate2",
    title="CTranslate2",
    requirements=("ctranslate2==4.8.5", "tokenizers==0.22.2"),
    command=(),
)
