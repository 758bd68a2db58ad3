"""A start that writes MLServer's two files."""

from load_tests.compare.chosen import WORK
from load_tests.compare.hub_folder import hub_folder
from load_tests.compare.servers.mlserver.start import start

if __name__ == "__main__":
    folder = str(hub_folder(WORK / "model", graph="model.onnx"))
    extra = {"task": "text-classification", "pretrained_model": folder, "optimum_model": True}
    start(
        {
            "implementation": "load_tests.compare.servers.mlserver_hf.runtime.HuggingFaceRuntime",
            "parameters": {"extra": extra},
        }
    )
