"""Writes the backend test cases of the installed `onnx` below a folder, one folder a case.

Its wheel ships the functions that make most cases, not their data.
"""

import argparse
import pathlib
import shutil
import sys
import warnings

from onnx.backend.test import cmd_tools
from onnx.backend.test.case import model, node

warnings.simplefilter("ignore")
target = pathlib.Path(sys.argv[1])
cases = [it for it in node.collect_testcases() + model.collect_testcases() if it.kind != "real"]
cmd_tools.model_test.collect_testcases = lambda: cases
cmd_tools.generate_data(argparse.Namespace(output=str(target)))
for kind in ["simple", "pytorch-operator", "pytorch-converted"]:
    shutil.copytree(pathlib.Path(cmd_tools.DATA_DIR) / kind, target / kind, dirs_exist_ok=True)
