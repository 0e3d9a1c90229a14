"""Prints `crates/modelwatch-infer/src/tract/versions/table.rs`: the versions in which the installed `onnx` has each operator changed."""

from collections import defaultdict

import onnx
from onnx import defs

DOMAINS = [("OPERATORS", "", defs.onnx_opset_version()), ("OF_MACHINE_LEARNING", "ai.onnx.ml", defs.onnx_ml_opset_version() if hasattr(defs, "onnx_ml_opset_version") else 5)]

print(f"//! In which versions of its domain each operator changed, as ONNX {onnx.__version__} has it.")
print("//!")
print("//! Written by `xtask/src/onnx_conformance/versions.py`; do not edit.")
for constant, domain, latest in DOMAINS:
    versions = defaultdict(set)
    for schema in defs.get_all_schemas_with_history():
        if schema.domain == domain:
            versions[schema.name].add(schema.since_version)
    latest = max(latest, max(max(it) for it in versions.values()))
    print(f"\n/// The last version that is known here of {domain or 'the default domain'}.")
    print(f"pub(super) const LATEST_{constant}: i64 = {latest};\n")
    print("#[rustfmt::skip]")
    print(f"pub(super) const {constant}: [(&str, &[i64]); {len(versions)}] = [")
    for name in sorted(versions):
        print(f'    ("{name}", &[{", ".join(map(str, sorted(versions[name])))}]),')
    print("];")
