"""Writes cases with extreme values below a folder, one folder a case, as ONNX's backend test cases are.

What is expected is computed here by the formula of the operator's definition, in double precision or in exact integers.
Where the definition leaves it open, the note of a case says what is expected; so it does where ONNX Runtime 1.32 answers otherwise.
"""

import math
import pathlib
import sys

import numpy as np
from onnx import TensorProto, helper, numpy_helper

NAN, INF = math.nan, math.inf
F16, F32, F64 = np.float16, np.float32, np.float64
I8, I32, I64, U8, U64 = np.int8, np.int32, np.int64, np.uint8, np.uint64
NUMBERS = [NAN, INF, -INF, -0.0, 0.0, 1e-40, -1e-40, 3e38, -3e38, 1, -1, 2.5, -2.5, 0.5, 1.5, 100, -100, 88.8, -88.8, -104, 16.7, -20]

# Where ONNX Runtime 1.32 answers otherwise; besides, it takes numbers without all digits for 0, as may be done here.
OTHERS = {
    "argmax_nan": "leaves NaN out",
    "argmin_nan": "leaves NaN out",
    "globalmaxpool_nan": "leaves NaN out",
    "labelencoder_nan": "takes NaN for no key",
    "log_of_sigmoid": "has -∞, as its sigmoid far below 0 is 0",
    "logsoftmax_float16": "has NaN beside an infinity",
    "logsoftmax_float32": "has NaN beside an infinity",
    "logsoftmax_float64": "has numbers beside a NaN",
    "maxpool_nan_pads_0": "leaves NaN out",
    "maxpool_nan_pads_2": "leaves NaN out",
    "pow_int64": "computes in double precision",
    "reducemean_of_nothing": "has 0",
    "reducesum_int64": "computes in double precision",
    "reducesumsquare_int64": "computes in double precision",
    "roialign_max_nan": "leaves NaN out",
    "roialign_no_corner": "takes finite corners alone",
    "sigmoid_float64": "has 0 far below 0",
    "silu": "has 0 far below 0",
    "softplus_float16": "has ∞ where the exponential is",
    "softplus_float64": "has ∞ where the exponential is",
}

target = pathlib.Path(sys.argv[1])
names = set()


def array(values, dtype=F32):
    return np.array(values, dtype=dtype)


def node(op, inputs, outputs="y", domain="", **attributes):
    return helper.make_node(op, inputs.split(","), outputs.split(","), domain=domain, **attributes)


def case(name, nodes, inputs, outputs, constants=None, opset=18, note="", ml=3):
    """Writes a case of nodes from `inputs` to `outputs`, arrays by name."""
    assert name not in names, name
    names.add(name)
    folder = target / name
    data = folder / "test_data_set_0"
    data.mkdir(parents=True)

    def info(name, value):
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)

    graph = helper.make_graph(
        nodes if isinstance(nodes, list) else [nodes],
        name,
        [info(*it) for it in inputs.items()],
        [info(*it) for it in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", ml)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=10)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    note = "; ".join(it for it in [note, name in OTHERS and f"ONNX Runtime {OTHERS[name]}"] if it)
    if note:
        (folder / "note.txt").write_text(note)
    for what, values in [("input", inputs), ("output", outputs)]:
        for idx, (name, value) in enumerate(values.items()):
            (data / f"{what}_{idx}.pb").write_bytes(numpy_helper.from_array(value, name).SerializeToString())


def unary(op, formula, numbers=NUMBERS, dtype=F32, what="", opset=18, note="", **attributes):
    """Writes a case of an operator of single numbers."""
    x = array(numbers, dtype)
    # As wide as the lines of a kernel are, and once more with what is left over.
    x = np.concatenate([x] * 4)
    y = np.asarray(formula(x.astype(F64)))
    y = y if y.dtype == bool else y.astype(dtype)
    name = "_".join(it for it in [op.lower(), what, np.dtype(dtype).name] if it)
    case(name, node(op, "x", **attributes), {"x": x}, {"y": y}, opset=opset, note=note)


def binary(op, formula, a, b, dtype=F32, what="", note="", **attributes):
    a, b = array(a, dtype), array(b, dtype)
    y = formula(a.astype(F64), b.astype(F64)) if np.issubdtype(dtype, np.floating) else formula(a, b)
    y = y if y.dtype == bool else y.astype(dtype)
    name = "_".join(it for it in [op.lower(), what, np.dtype(dtype).name] if it)
    case(name, node(op, "a,b", **attributes), {"a": a, "b": b}, {"y": y}, note=note)


def each(function):
    """Returns a function of `math` for arrays: NaN where it has no value, and infinity where that is beyond all numbers."""

    def one(x):
        try:
            return function(x)
        except ValueError:
            return NAN
        except OverflowError:
            return INF

    return np.vectorize(one, otypes=[F64])


def sigmoid(x):
    return np.where(x < 0, np.exp(np.minimum(x, 0)) / (1 + np.exp(np.minimum(x, 0))), 1 / (1 + np.exp(-np.maximum(x, 0))))


def softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def gelu(x):
    return x * (1 + each(math.erf)(x / math.sqrt(2))) / 2


def functions_of_numbers():
    for dtype in [F16, F32, F64]:
        unary("Relu", lambda x: np.maximum(x, 0), dtype=dtype)
        unary("Sigmoid", sigmoid, dtype=dtype)
        unary("Tanh", np.tanh, dtype=dtype)
        unary("Exp", np.exp, dtype=dtype)
        unary("Log", np.log, dtype=dtype)
        unary("Sqrt", np.sqrt, dtype=dtype)
        unary("LeakyRelu", lambda x: np.where(x < 0, float(F32(0.2)) * x, x), dtype=dtype, alpha=0.2)
        unary("Softplus", softplus, dtype=dtype)
        unary("Abs", np.abs, dtype=dtype)
        unary("Floor", np.floor, dtype=dtype)
        unary("Round", np.rint, dtype=dtype)
        unary("Identity", lambda x: x, dtype=dtype)
        unary("Reciprocal", lambda x: 1 / x, dtype=dtype)
        unary("IsNaN", np.isnan, dtype=dtype)
    unary("Elu", lambda x: np.where(x < 0, np.expm1(x), x))
    alpha, gamma = 1.67326319217681884765625, 1.05070102214813232421875
    unary("Selu", lambda x: gamma * np.where(x <= 0, alpha * np.expm1(x), x))
    unary("Celu", lambda x: np.maximum(x, 0) + np.minimum(0, 2 * np.expm1(x / 2)), alpha=2.0)
    unary("HardSigmoid", lambda x: np.maximum(0, np.minimum(1, float(F32(0.2)) * x + 0.5)))
    hard = lambda x: x * np.maximum(0, np.minimum(1, float(F32(1 / 6)) * x + 0.5))
    unary("HardSwish", hard, note="-∞ gives NaN, the product of -∞ and 0")
    unary("ThresholdedRelu", lambda x: np.where(x > 1, x, 0 * np.isnan(x)), numbers=NUMBERS[1:])
    unary("Softsign", lambda x: x / (1 + np.abs(x)), note="an infinity gives NaN, the quotient of two infinities")
    shrink = lambda x: np.where(x < -0.5, x + 0.25, np.where(x > 0.5, x - 0.25, 0))
    unary("Shrink", shrink, numbers=NUMBERS[1:], lambd=0.5, bias=0.25)
    unary("Sign", np.sign, note="NaN has no sign, and none is made up")
    unary("Ceil", np.ceil)
    unary("Neg", np.negative)
    unary("Erf", each(math.erf))
    # One whose hyperbolic tangent has all digits is the last.
    mish = [it for it in NUMBERS if it != -88.8]
    unary("Mish", lambda x: x * np.tanh(softplus(x)), mish, note="-∞ gives NaN, the product of -∞ and 0")
    unary("Sinh", np.sinh)
    unary("Cosh", np.cosh)
    unary("Asinh", each(math.asinh))
    unary("Acosh", np.arccosh, [NAN, INF, 0.5, 1, 3, 1e19, 3e38, -2])
    unary("Atan", np.arctan)
    unary("Atanh", np.arctanh, [NAN, INF, 1, -1, 2, 0.5, -0.0])
    unary("Asin", np.arcsin, [NAN, INF, 1, -1, 2, 0.5])
    unary("Acos", np.arccos, [NAN, INF, 1, -1, 2, 0.5])
    unary("Sin", np.sin, [NAN, INF, -INF, 1e6, -1e5, 0.3])
    unary("Cos", np.cos, [NAN, INF, -INF, 1e6, -1e5, 0.3])
    unary("Tan", np.tan, [NAN, INF, -INF, 1e6, -1e5, 0.3])
    unary("IsInf", np.isinf)
    unary("IsInf", np.isinf, dtype=F64)
    unary("IsInf", lambda x: x == INF, what="positive", detect_negative=0)
    unary("Gelu", gelu, [it for it in NUMBERS if it != -INF and it > -5 or it != it], opset=20)
    # As `x` times the sigmoid of twice what the hyperbolic tangent is of: near -1 that has no digits of the difference from it.
    approximate = lambda x: x * sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
    far = [NAN, INF, -20, -10, -5, -3, -1, -0.5, 0, -0.0, 0.5, 1, 3, 20, 100, -100, 3e38, 1e-40]
    for dtype in [F16, F32, F64]:
        unary("Gelu", approximate, far, dtype, "tanh", opset=20, approximate="tanh")
    x = array(NUMBERS)
    limits = {"low": array(-1), "high": array(1)}
    case("clip", node("Clip", "x,low,high"), {"x": x}, {"y": np.clip(x, -1, 1)}, limits)
    limits = {"low": array(2), "high": array(-1)}
    note = "where the least is more than the most, the most"
    case("clip_crossed", node("Clip", "x,low,high"), {"x": x}, {"y": np.minimum(np.maximum(x, 2), -1)}, limits, note=note)
    slopes = array([0.25, -0.5] * 11)
    case("prelu", node("PRelu", "x,s"), {"x": x}, {"y": np.where(x < 0, slopes * x, x)}, {"s": slopes})
    # What an optimizer may take for something simpler.
    zeros = array([0.0] * 22)
    case("mul_by_zeros", node("Mul", "x,z"), {"x": x}, {"y": x * zeros}, {"z": zeros})
    case("less_itself", node("Sub", "x,x"), {"x": x}, {"y": x - x})
    case("by_itself", node("Div", "x,x"), {"x": x}, {"y": x / x})
    case("plus_zeros", [node("Add", "x,z", "s"), node("Reciprocal", "s")], {"x": x}, {"y": 1 / (x + zeros)}, {"z": zeros})
    nodes = [node("Sqrt", "x", "r"), node("Mul", "r,r")]
    wide = x.astype(F64)
    case("root_squared", nodes, {"x": x}, {"y": (np.sqrt(wide) ** 2).astype(F32)})
    nodes = [node("Sigmoid", "x", "s"), node("Log", "s")]
    case("log_of_sigmoid", nodes, {"x": array([-20, -30, -50, -80, -15])}, {"y": array([-20, -30, -50, -80, -15.0000003])})
    nodes = [node("Sigmoid", "x", "s"), node("Mul", "x,s")]
    kept = array([100, -18, -20, -30, -50, -80, NAN, 3e38])
    case("silu", nodes, {"x": kept}, {"y": (kept * sigmoid(kept.astype(F64))).astype(F32)})
    nodes = [node("Mul", "x,a", "p"), node("Mul", "p,b")]
    factors = {"a": array(1e30), "b": array(1e-30)}
    case("product_that_overflows", nodes, {"x": array([1e20, 1e-20])}, {"y": array([INF, 1e-20])}, factors)
    nodes = [node("MatMul", "x,w", "p"), node("Mul", "p,b")]
    weights = {"w": array([[1e19, 1], [1, 1]]), "b": array(1e-15)}
    rows = array([[1e20, 1], [1, 2]])
    y = array([[INF, 1e5], [1e4, 3e-15]])
    case("scaled_product_that_overflows", nodes, {"x": rows}, {"y": y}, weights)


def pairs():
    a = [NAN, 1, INF, -INF, 0, -0.0, 3e38, -3e38, 1e-40, 7.5, -7.5]
    b = [1, NAN, -INF, -INF, 0, 5, 3e38, 2, 2, 2, -2]
    for dtype in [F16, F32, F64]:
        binary("Add", np.add, a, b, dtype)
        binary("Sub", np.subtract, a, b, dtype)
        binary("Mul", np.multiply, a, b, dtype)
        binary("Div", np.divide, a, b, dtype)
        binary("Max", np.maximum, a, b, dtype)
        binary("Min", np.minimum, a, b, dtype)
        for op, formula in [("Less", np.less), ("GreaterOrEqual", np.greater_equal), ("Equal", np.equal)]:
            binary(op, formula, a, b, dtype)
    power = ([NAN, 1, NAN, -8, -1, 0, -0.0, 0, 1e25, 2, INF, -INF, 0.5], [0, NAN, 1, 1 / 3, 2, -1, -1, 0, 2, 1024, -1, 3, INF])
    binary("Pow", np.power, *power)
    binary("Pow", np.power, *power, dtype=F64)
    note = "of an infinity NaN, and the dividend itself by an infinity"
    binary("Mod", np.fmod, [7.5, -7.5, 7, INF, 1, NAN], [2, -2, 0, 2, INF, 2], fmod=1, note=note)
    x = array([0.5, NAN, -0.5])
    nodes = [node("Greater", "x,z", "c"), node("Where", "c,x,z")]
    case("where_nan", nodes, {"x": x}, {"y": array([0.5, 0, 0])}, {"z": array(0)})
    note = "what is not chosen is not in the answer"
    nodes = node("Where", "c,x,z")
    chosen = {"c": np.array([True, False, False]), "x": x}
    case("where_not_chosen", nodes, chosen, {"y": array([0.5, 1, 1])}, {"z": array(1)}, note=note)


def integers():
    """Of which floating point numbers would be others, and which go around where they are beyond all integers."""
    big = [2**62, -(2**63), 2**63 - 1, 7, 2**53 + 1, -(2**53) - 1]
    other = [2**62, -1, 1, 3, 2**53, 2**40]
    wrapped = lambda formula: lambda a, b: array([(formula(int(x), int(y)) + 2**63) % 2**64 - 2**63 for x, y in zip(a, b)], I64)
    truncated = lambda x, y: abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)
    binary("Add", wrapped(int.__add__), big, other, I64)
    binary("Sub", wrapped(int.__sub__), big, other, I64)
    binary("Mul", wrapped(int.__mul__), big, other, I64)
    binary("Div", wrapped(truncated), [7, -7, 2**63 - 1, 2**53 + 1, -9], [2, 2, 3, 1, -2], I64)
    note = "with the sign of the divisor"
    binary("Mod", wrapped(int.__mod__), [7, -7, 2**63 - 1, 2**53 + 1, -9], [2, 2, -3, 2, 2], I64, note=note)
    remainder = lambda x, y: x - y * truncated(x, y)
    binary("Mod", wrapped(remainder), [7, -7, 2**63 - 1, 2**53 + 1, -9], [2, 2, -3, 2, 2], I64, "dividend", fmod=1)
    near = ([2**53, 2**53 + 1, 2**62, -(2**62) - 1], [2**53 + 1, 2**53, 2**62 + 1, -(2**62)])
    for op, formula in [("Max", np.maximum), ("Min", np.minimum), ("Greater", np.greater), ("Equal", np.equal), ("LessOrEqual", np.less_equal)]:
        binary(op, formula, *near, I64)
    binary("Max", np.maximum, [2**64 - 1, 2**63, 1], [2**64 - 2, 1, 2**63 + 1], U64)
    binary("Greater", np.greater, [2**64 - 1, 2**63, 1], [2**64 - 2, 1, 2**63 + 1], U64)
    binary("BitwiseXor", np.bitwise_xor, big, other, I64)
    binary("BitwiseAnd", np.bitwise_and, big, other, I64)
    x = array([2**53 + 1, -(2**62) - 1, 2**63 - 1, -(2**63) + 1], I64)
    case("neg_int64", node("Neg", "x"), {"x": x}, {"y": -x})
    case("abs_int64", node("Abs", "x"), {"x": x}, {"y": np.abs(x)})
    case("sign_int64", node("Sign", "x"), {"x": x}, {"y": np.sign(x)})
    limits = {"low": array(-(2**60) - 1, I64), "high": array(2**60 + 1, I64)}
    y = np.clip(x, limits["low"], limits["high"])
    case("clip_int64", node("Clip", "x,low,high"), {"x": x}, {"y": y}, limits)
    case("pow_int64", node("Pow", "x,e"), {"x": array([3, -3, 2**20 + 1], I64)}, {"y": array([27, -27, (2**20 + 1) ** 3], I64)}, {"e": array([3] * 3, I64)})
    rows = array([[2**60 + 1, 2**60 + 3, -5], [5, -8, 2**53], [2**53, 1, 0]], I64)
    axes = {"axes": array([1], I64)}
    for op, formula in [("ReduceSum", np.sum), ("ReduceMax", np.max), ("ReduceMin", np.min)]:
        case(f"{op.lower()}_int64", node(op, "x,axes", keepdims=0), {"x": rows}, {"y": formula(rows, axis=1)}, axes)
    short = array([[3_000_000_001, 3, 1], [5, -8, 2**31]], I64)
    for op, formula in [("ReduceProd", np.prod), ("ReduceL1", lambda x, axis: np.sum(np.abs(x), axis)), ("ReduceSumSquare", lambda x, axis: np.sum(x * x, axis))]:
        x = short if op != "ReduceSumSquare" else array([[2**30 + 1, 1, 3], [94906267, 0, 0]], I64)
        case(f"{op.lower()}_int64", node(op, "x,axes", keepdims=0), {"x": x}, {"y": formula(x, 1)}, axes)
    mean = array([[6_000_000_000, 0, 3], [4, 4, 4]], I64)
    case("reducemean_int64", node("ReduceMean", "x,axes", keepdims=0), {"x": mean}, {"y": array([2_000_000_001, 4], I64)}, axes)
    x = array([[2**63, 2**62, 1], [1, 2, 3]], U64)
    case("reducesum_uint64", node("ReduceSum", "x,axes", keepdims=0), {"x": x}, {"y": np.sum(x, 1, dtype=U64)}, axes)
    case("cumsum_int64", node("CumSum", "x,axis"), {"x": rows}, {"y": np.cumsum(rows, 1)}, {"axis": array(1, I64)})
    y = array([1, 1, 0], I64)
    case("argmax_int64", node("ArgMax", "x", axis=1, keepdims=0), {"x": array([[2**53, 2**53 + 1], [-(2**53) - 1, -(2**53)], [2**63 - 1, 2**63 - 2]], I64)}, {"y": y})
    values = array([[2**60, 2**60 + 1, 5], [1, -(2**62), -(2**62) - 1], [3, 3, 1]], I64)
    outputs = {"v": array([[2**60 + 1, 2**60], [1, -(2**62)], [3, 3]], I64), "i": array([[1, 0], [0, 1], [0, 1]], I64)}
    case("topk_int64", node("TopK", "x,k", "v,i", axis=1), {"x": values}, outputs, {"k": array([2], I64)})
    w = array([[2**33, 1], [3, -(2**31) - 1]], I64)
    x = array([[2**29 + 1, 7], [-5, 2**21]], I64)
    case("matmul_int64", node("MatMul", "x,w"), {"x": x}, {"y": x @ w}, {"w": w})
    nodes = [node("Mul", "x,k", "m"), node("Mod", "m,p")]
    x = array([123456789, 987654321], I64)
    hashed = {"k": array(2654435761, I64), "p": array(1000003, I64)}
    case("hash_int64", nodes, {"x": x}, {"y": x * 2654435761 % 1000003}, hashed)
    case("range_int64", node("Range", "a,b,c"), {"a": array(2**53 + 1, I64)}, {"y": array([2**53 + 1, 2**53 + 2], I64)}, {"b": array(2**53 + 3, I64), "c": array(1, I64)})


def casts():
    def cast(name, x, to, y=None, note=""):
        y = x.astype(to) if y is None else y
        dtype = helper.np_dtype_to_tensor_dtype(np.dtype(to))
        case(f"cast_{name}", node("Cast", "x", to=dtype), {"x": x}, {"y": y}, note=note)

    big = array([2**62 + 1, 2**53 + 1, -(2**53) - 1, 2**24 + 1, -1], I64)
    cast("int64_double", big, F64)
    cast("int64_float", big, F32)
    cast("int64_int32", array([2**40 + 5, -(2**31) - 1, 2**31], I64), I32, note="what does not fit goes around")
    cast("int64_int8", array([300, -300, 128, 256], I64), I8, note="what does not fit goes around")
    cast("int64_bool", array([0, 2**32, -1], I64), bool)
    cast("uint64_double", array([2**64 - 1, 2**63], U64), F64)
    cast("double_float", array([1e300, -1e300, 1e-300, 1e-40, NAN, INF], F64), F32)
    cast("float_half", array([65520, 65519, -1e9, 1e-8, 6e-8, NAN, -INF]), F16)
    cast("half_float", array([6e-8, 65504, INF, NAN, -0.0], F16), F32)
    cast("float_int64", array([2.0**62, -(2.0**62), -1.9, 0.9]), I64)
    cast("double_int64", array([2.0**53 + 2, -(2.0**60), -1.9], F64), I64)
    cast("float_bool", array([NAN, INF, 1e-40, -0.0]), bool)
    cast("bool_double", np.array([True, False]), F64)


def reductions():
    rows = array([[-INF, -INF, -INF], [INF, 1, -1], [NAN, 1, 2], [3e38, 3e38, 1], [-100, -104, -3e38], [INF, -INF, 0], [0, 0, 0], [1e-40, 1e-40, 0]])
    wide = rows.astype(F64)
    axes = {"axes": array([1], I64)}

    def log_sum_exp(x):
        top = np.max(x, 1, keepdims=True)
        return np.where(np.isinf(top[:, 0]), np.where(np.isnan(np.sum(x, 1)) & np.any(np.isnan(x), 1), NAN, top[:, 0]), top[:, 0] + np.log(np.sum(np.exp(x - top), 1)))

    formulas = {
        "ReduceMax": lambda x: np.max(x, 1),
        "ReduceMin": lambda x: np.min(x, 1),
        "ReduceSum": lambda x: np.sum(x, 1),
        "ReduceMean": lambda x: np.mean(x, 1),
        "ReduceProd": lambda x: np.prod(x, 1),
        "ReduceL1": lambda x: np.sum(np.abs(x), 1),
        "ReduceL2": lambda x: np.sqrt(np.sum(x * x, 1)),
        "ReduceSumSquare": lambda x: np.sum(x * x, 1),
        "ReduceLogSumExp": log_sum_exp,
    }
    for op, formula in formulas.items():
        # A sum of squares is beyond all numbers of single precision where its root is not.
        kept = [idx for idx in range(8) if op != "ReduceL2" or idx not in (3, 4, 7)]
        if op == "ReduceMean":
            kept.remove(3)
        x = rows[kept]
        y = formula(wide[kept]).astype(F32)
        case(f"{op.lower()}_float", node(op, "x,axes", keepdims=0), {"x": x}, {"y": y}, axes)
    case("reducelogsum", node("ReduceLogSum", "x,axes", keepdims=0), {"x": np.abs(rows)}, {"y": np.log(np.sum(np.abs(wide), 1).astype(F32))}, axes)
    ones = np.ones((2, 8000), F16)
    for op in ["ReduceSum", "ReduceL1", "ReduceSumSquare"]:
        note = "ones are counted beyond the 2048 from which half precision has no odd number"
        case(f"{op.lower()}_float16", node(op, "x,axes", keepdims=0), {"x": ones}, {"y": array([8000] * 2, F16)}, axes, note=note)
    case("reducemean_float16", node("ReduceMean", "x,axes", keepdims=0), {"x": ones * F16(20)}, {"y": array([20] * 2, F16)}, axes)
    small = np.full((2, 5), 1e-9) + array([[1, 0, 0, 0, 0]], F64)
    case("reducesum_float64", node("ReduceSum", "x,axes", keepdims=0), {"x": small}, {"y": np.sum(small, 1)}, axes)
    nothing = np.zeros((2, 0), F32)
    for op, value in [("ReduceSum", 0), ("ReduceProd", 1), ("ReduceMax", -INF), ("ReduceMin", INF), ("ReduceLogSumExp", -INF), ("ReduceL2", 0), ("ReduceMean", NAN)]:
        note = "the mean of nothing is NaN" if op == "ReduceMean" else ""
        case(f"{op.lower()}_of_nothing", node(op, "x,axes", keepdims=0), {"x": nothing}, {"y": array([value] * 2)}, axes, opset=20, note=note)
    x = array([[1, NAN, 3], [INF, 1, 2], [-INF, 5, 5]])
    case("cumsum_float", node("CumSum", "x,axis"), {"x": x}, {"y": np.cumsum(x, 1)}, {"axis": array(1, I64)})
    note = "a NaN comes first, as in NumPy"
    x = array([[1, NAN, 3], [NAN, 1, 2], [INF, 5, INF], [-INF, -INF, -INF]])
    for op, formula in [("ArgMax", np.argmax), ("ArgMin", np.argmin)]:
        case(f"{op.lower()}_nan", node(op, "x", axis=1, keepdims=0), {"x": x}, {"y": formula(x, 1)}, note=note)
    outputs = {"v": array([[NAN, 3], [NAN, 2], [INF, INF], [-INF, -INF]]), "i": array([[1, 2], [0, 2], [0, 2], [0, 1]], I64)}
    case("topk_nan", node("TopK", "x,k", "v,i", axis=1), {"x": x}, outputs, {"k": array([2], I64)}, note=note)
    outputs = {"v": np.zeros((2, 0), F32), "i": np.zeros((2, 0), I64)}
    case("topk_none", node("TopK", "x,k", "v,i", axis=1), {"x": nothing}, outputs, {"k": array([0], I64)})


def shares():
    def log_softmax(x, axis=-1):
        top = np.max(x, axis, keepdims=True)
        total = np.log(np.sum(np.exp(x - top), axis, keepdims=True))
        return x - top - np.where(top == INF, 0, total)

    rows = [[0, 104, 60], [0, 1e4, -1e4], [-INF, 0, 1], [-INF, -INF, -INF], [INF, 0, 1], [NAN, 0, 1], [-100, -90, -104], [-3e38, 0, 1]]
    for dtype in [F16, F32, F64]:
        x = array(rows, dtype)
        y = log_softmax(x.astype(F64))
        name = np.dtype(dtype).name
        note = "beside an infinity all are NaN"
        shares = np.where((x == INF).any(1, keepdims=True), NAN, np.exp(y))
        case(f"softmax_{name}", node("Softmax", "x"), {"x": x}, {"y": shares.astype(dtype)}, note=note)
        note = "beside an infinity, which is NaN itself, -∞"
        case(f"logsoftmax_{name}", node("LogSoftmax", "x"), {"x": x}, {"y": y.astype(dtype)}, note=note)
    x = array(rows[:3]).T.copy()
    case("logsoftmax_first_axis", node("LogSoftmax", "x", axis=0), {"x": x}, {"y": log_softmax(x.astype(F64), 0).astype(F32)})
    x = array([rows[:2], rows[2:4]])
    y = log_softmax(x.astype(F64).reshape(2, 6)).reshape(2, 2, 3).astype(F32)
    case("logsoftmax_11", node("LogSoftmax", "x", axis=1), {"x": x}, {"y": y}, opset=11)
    nodes = [node("LogSoftmax", "x", "l"), node("Exp", "l")]
    x = array([[0, 90, 60], [NAN, 1, 2]])
    case("exp_of_logsoftmax", nodes, {"x": x}, {"y": np.exp(log_softmax(x.astype(F64))).astype(F32)})
    x = array([[7, 7, 7], [0, 0, 0]])
    zero = np.zeros((2, 3), F32)
    scale = {"s": array([1, 2, 3])}
    case("layernormalization_of_one_value", node("LayerNormalization", "x,s"), {"x": x}, {"y": zero}, scale)
    x = array([[INF, 1, 2], [NAN, 1, 2], [-1, 0, 1]])
    centered = array([-1, 0, 1]) / np.sqrt(2 / 3 + 1e-5)
    y = array([[NAN] * 3, [NAN] * 3, centered * scale["s"]])
    case("layernormalization_nan", node("LayerNormalization", "x,s"), {"x": x}, {"y": y}, scale)
    vectors = {it: array([value] * 2) for it, value in [("s", 1.5), ("b", 0.5), ("m", 1)]} | {"v": array([-1, 4])}
    x = array([[[1, 2], [NAN, INF]]])
    y = array([[[NAN, NAN], [NAN, INF]]])
    note = "a variance below 0 has no root"
    case("batchnormalization_nan", node("BatchNormalization", "x,s,b,m,v"), {"x": x}, {"y": y}, vectors, note=note)
    x = array(np.arange(24).reshape(3, 2, 4) ** 2)
    mean, variance = x.mean((0, 2), keepdims=True), x.var((0, 2), keepdims=True)
    y = (x - mean) / np.sqrt(variance + 1e-5) * 1.5 + 0.5
    outputs = {"y": y.astype(F32), "rm": (0.9 * 1 + 0.1 * mean.ravel()).astype(F32), "rv": (0.9 * vectors["v"] + 0.1 * variance.ravel()).astype(F32)}
    nodes = node("BatchNormalization", "x,s,b,m,v", "y,rm,rv", training_mode=1)
    case("batchnormalization_training", nodes, {"x": x}, outputs, vectors)


def windows():
    image = array(np.random.default_rng(4).standard_normal((2, 2, 4, 5)))
    image[0, 0, 1, 1] = NAN
    image[1, 1, 2, 2] = INF
    image[1, 0, 0, 0] = -INF

    def pool(x, size, stride, pads, fold, padding):
        x = np.pad(x.astype(F64), [(0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])], constant_values=padding)
        height, width = [(n - size) // stride + 1 for n in x.shape[2:]]
        return array([[[[fold(x[n, c, i * stride : i * stride + size, j * stride : j * stride + size]) for j in range(width)] for i in range(height)] for c in range(x.shape[1])] for n in range(len(x))])

    for pads in [(0, 0, 0, 0), (1, 0, 0, 1)]:
        window = {"kernel_shape": [2, 2], "pads": pads}
        case(f"maxpool_nan_pads_{sum(pads)}", node("MaxPool", "x", **window), {"x": image}, {"y": pool(image, 2, 1, pads, np.max, -INF)})
        y = pool(image, 2, 1, pads, np.mean, 0)
        case(f"averagepool_nan_pads_{sum(pads)}", node("AveragePool", "x", count_include_pad=1, **window), {"x": image}, {"y": y})
    low = np.full((1, 1, 3, 3), -INF, F32)
    y = np.full((1, 1, 2, 2), -INF, F32)
    case("maxpool_of_infinities", node("MaxPool", "x", kernel_shape=[2, 2]), {"x": low}, {"y": y})
    for op, formula in [("GlobalMaxPool", np.max), ("GlobalAveragePool", np.mean)]:
        case(f"{op.lower()}_nan", node(op, "x"), {"x": image}, {"y": formula(image.astype(F64), (2, 3), keepdims=True).astype(F32)})
    half = np.full((1, 2, 80, 80), 20, F16)
    case("averagepool_float16", node("AveragePool", "x", kernel_shape=[80, 80]), {"x": half}, {"y": np.full((1, 2, 1, 1), 20, F16)})
    case("globalaveragepool_float16", node("GlobalAveragePool", "x"), {"x": half}, {"y": np.full((1, 2, 1, 1), 20, F16)})
    for p in [1, 2, 3]:
        y = np.sum(np.abs(image.astype(F64)) ** p, (2, 3), keepdims=True) ** (1 / p)
        case(f"globallppool_{p}", node("GlobalLpPool", "x", p=p), {"x": image}, {"y": y.astype(F32)})
        y = pool(np.abs(image.astype(F64)) ** p, 2, 1, (0, 0, 0, 0), np.sum, 0).astype(F64) ** (1 / p)
        case(f"lppool_{p}", node("LpPool", "x", p=p, kernel_shape=[2, 2]), {"x": image}, {"y": y.astype(F32)})
    weights = np.abs(array(np.random.default_rng(5).standard_normal((3, 2, 2, 2))))
    y = np.stack([pool(image, 2, 1, (0, 0, 0, 0), lambda x: 0, 0)] * 1)
    y = np.zeros((2, 3, 3, 4))
    for i in range(3):
        for j in range(4):
            y[:, :, i, j] = np.einsum("nchw,ochw->no", image[:, :, i : i + 2, j : j + 2].astype(F64), weights.astype(F64))
    case("conv_nan", node("Conv", "x,w"), {"x": image}, {"y": y.astype(F32)}, {"w": weights})
    y = np.einsum("nchw,oc->nohw", image.astype(F64), weights[:, :, 0, 0].astype(F64))
    nodes = [node("Conv", "x,w", "c"), node("Relu", "c")]
    case("conv_relu_nan", nodes, {"x": image}, {"y": np.maximum(y, 0).astype(F32)}, {"w": weights[:, :, :1, :1].copy()})
    transposed(np.random.default_rng(6))


def transposed(random):
    """Each number of the image adds its kernel to the whole, of which `pads` are cut off."""
    x = array(random.standard_normal((2, 2, 5, 6)))
    w = array(random.standard_normal((2, 3, 3, 3)))

    def whole(strides, more):
        sizes = [(n - 1) * stride + 3 + it for n, stride, it in zip(x.shape[2:], strides, more)]
        res = np.zeros((2, 3, *sizes))
        for i in range(5):
            for j in range(6):
                at = np.s_[:, :, i * strides[0] : i * strides[0] + 3, j * strides[1] : j * strides[1] + 3]
                res[at] += np.einsum("nc,cohw->nohw", x[:, :, i, j].astype(F64), w.astype(F64))
        return res

    def cut(y, totals, before):
        return y[:, :, before[0] : y.shape[2] - totals[0] + before[0], before[1] : y.shape[3] - totals[1] + before[1]].astype(F32)

    for name, strides, size, upper, attributes in [
        ("output_shape", (2, 2), (10, 12), False, {"output_shape": [10, 12]}),
        ("output_shape_upper", (3, 2), (15, 12), True, {"output_shape": [15, 12], "auto_pad": "SAME_UPPER"}),
        ("same_upper", (2, 2), (10, 12), True, {"auto_pad": "SAME_UPPER"}),
        ("same_lower", (2, 2), (10, 12), False, {"auto_pad": "SAME_LOWER"}),
    ]:
        y = whole(strides, (0, 0))
        totals = [n - it for n, it in zip(y.shape[2:], size)]
        # The definition puts the odd one at the end where `auto_pad` is SAME_UPPER, else at the beginning.
        before = [it // 2 if upper else it - it // 2 for it in totals]
        case(f"convtranspose_{name}", node("ConvTranspose", "x,w", strides=strides, **attributes), {"x": x}, {"y": cut(y, totals, before)}, {"w": w})
    y = cut(whole((2, 2), (1, 0)), (1, 1), (1, 0))
    attributes = {"strides": (2, 2), "output_padding": [1, 0], "pads": [1, 0, 0, 1]}
    case("convtranspose_output_padding", node("ConvTranspose", "x,w", **attributes), {"x": x}, {"y": y}, {"w": w})


def products():
    x = array([[1, NAN, 0], [INF, 1, 0], [0, 0, 0], [3e38, 3e38, 0]])
    w = array([[1, 0], [1, 1], [1, 2]])
    y = np.array([[sum(a * b for a, b in zip(row, column)) for column in w.T.astype(F64)] for row in x.astype(F64)])
    case("matmul_nan", node("MatMul", "x,w"), {"x": x}, {"y": y.astype(F32)}, {"w": w})
    case("gemm_nan", node("Gemm", "x,w,c"), {"x": x}, {"y": (y + 1).astype(F32)}, {"w": w, "c": array([1, 1])})
    half = array([[300, 300], [1, 2]], F16)
    y = array([[INF, 300], [500, 2]], F16)
    case("matmul_float16", node("MatMul", "x,w"), {"x": half}, {"y": y}, {"w": array([[200, 0], [150, 1]], F16)}, note="beyond 65504 is ∞")
    x, w = np.zeros((2, 0), F32), np.zeros((0, 3), F32)
    case("matmul_of_nothing", node("MatMul", "x,w"), {"x": x}, {"y": np.zeros((2, 3), F32)}, {"w": w})
    x = array([[1, NAN, 2], [3, 4, INF], [5, 6, 7]])
    case("trilu_nan", node("Trilu", "x,k", upper=0), {"x": x}, {"y": np.tril(x, -1)}, {"k": array(-1, I64)}, note="zeros are put there, nothing is multiplied")
    y = array([[1, 4, 7]])
    case("einsum_diagonal", [node("Einsum", "x", "d", equation="ii->i"), node("Unsqueeze", "d,axes")], {"x": x}, {"y": y}, {"axes": array([0], I64)})
    for equation, what, inputs in [
        ("ij->", "all", {"x": array([[1, 2, 3], [4, 5, 6]])}),
        ("i->", "row", {"x": array([1, 2, 4])}),
        ("ii->", "trace", {"x": array([[1, 2], [3, 4]])}),
        ("i,i->", "of_rows", {"x": array([1, 2, 4]), "w": array([3, 5, 7])}),
        ("ij,j->", "of_columns", {"x": array([[1, 2], [3, 4]]), "w": array([3, 5])}),
        ("i,j->", "outer", {"x": array([1, 2]), "w": array([3, 5, 7])}),
    ]:
        y = array(np.einsum(equation, *inputs.values()))
        nodes = [node("Einsum", ",".join(inputs), "s", equation=equation), node("Unsqueeze", "s,axes")]
        case(f"einsum_sum_{what}", nodes, inputs, {"y": y.reshape(1)}, {"axes": array([0], I64)})
    limits = {"s": array(1), "z": array(3, U8)}
    x = array([0.5, 1.5, 2.5, -0.5, -1.5, 300, -300, INF, -INF])
    y = np.clip(np.rint(x) + 3, 0, 255).astype(U8)
    case("quantizelinear_beyond", node("QuantizeLinear", "x,s,z"), {"x": x}, {"y": y}, limits)
    x = array([2**30, -(2**30) - 1, 2**24 + 1], I32)
    y = ((x.astype(F64)) * float(F32(1e-3))).astype(F32)
    case("dequantizelinear_int32", node("DequantizeLinear", "x,s"), {"x": x}, {"y": y}, {"s": array(1e-3)})
    x = np.full((2, 600), 255, U8)
    w = np.full((600, 3), -128, I8)
    y = x.astype(I32) @ w.astype(I32)
    case("matmulinteger_extreme", node("MatMulInteger", "x,w"), {"x": x}, {"y": y}, {"w": w})
    outputs = {"q": np.zeros(4, U8), "s": array(1), "z": array(0, U8)}
    case("dynamicquantizelinear_zeros", node("DynamicQuantizeLinear", "x", "q,s,z"), {"x": array([0.0] * 4)}, outputs, note="the scale is 1 where all numbers are 0")


def narrow_and_wide():
    """Products in other precisions than the single one."""

    def eighths(n, step, *shape):
        return (((np.arange(n) * step) % 97 - 48) / 8).astype(F16).reshape(shape)

    for name, channels, size in [("sums", 128, 3), ("one", 4, 1), ("row_of_one", 16, 1)]:
        image = (1, 16) if name == "row_of_one" else (5, 5)
        n = channels * image[0] * image[1]
        size = (1, 1) if size == 1 else (3, 3)
        x, w = eighths(n, 37, 1, channels, *image), eighths(4 * channels * size[0] * size[1], 53, 4, channels, *size)
        windows = np.lib.stride_tricks.sliding_window_view(x.astype(F64), size, axis=(2, 3))
        y = np.einsum("nchwij,ocij->nohw", windows, w.astype(F64)) + np.array([0.5, -1, 2, 0]).reshape(4, 1, 1)
        case(f"conv_float16_{name}", node("Conv", "x,w,b"), {"x": x}, {"y": y.astype(F16)}, {"w": w, "b": array([0.5, -1, 2, 0], F16)})
    a, b, c = [[1, 2, 3], [4, 5, 6]], [[1, -1], [0, 2], [0.5, 1]], [[10, -20]]
    for dtype in [F16, F32, F64]:
        for name, alpha, beta, added in [("sum", 1, 1, c), ("scaled", 0.5, 2, c), ("of_a_scalar", 1, -1, 3), ("without_sum", 0.25, 1, None), ("nothing_of_it", 2, 0, c)]:
            constants = {"b": array(b, dtype)} | ({} if added is None else {"c": array(added, dtype)})
            y = alpha * (np.array(a) @ np.array(b)) + beta * np.array(0 if added is None else added)
            nodes = node("Gemm", ",".join(["a", *constants]), alpha=float(alpha), beta=float(beta))
            case(f"gemm_{name}_{np.dtype(dtype).name}", nodes, {"a": array(a, dtype)}, {"y": y.astype(dtype)}, constants)
    constants = {"b": array(np.array(b).T, F64), "c": array(c, F64)}
    y = array(np.array([[1, 4], [2, 5], [3, 6]]).T @ np.array(b) + np.array(c), F64)
    case("gemm_transposed_float64", node("Gemm", "a,b,c", transA=1, transB=1), {"a": array(np.array(a).T, F64)}, {"y": y}, constants)
    for base, exponent in [(F16, F32), (F16, F64), (F32, F64), (F64, F32), (F16, I32), (F32, I64), (I32, F32), (I64, I32)]:
        numbers, powers = array([3, 2, 5, 2], base), array([2, 3, 1, 0], exponent)
        name = f"pow_{np.dtype(base).name}_{np.dtype(exponent).name}"
        case(name, node("Pow", "a,b"), {"a": numbers}, {"y": array([9, 8, 5, 1], base)}, {"b": powers})
    for name, x, w in [("row", (3,), (3, 2)), ("column", (2, 3), (3,)), ("both", (3,), (3,)), ("rows", (3,), (2, 3, 2)), ("columns", (2, 2, 3), (3,))]:
        x, w = (np.arange(math.prod(x)) * 7 % 256).astype(U8).reshape(x), (np.arange(math.prod(w)) * 5 - 9).astype(I8).reshape(w)
        y = np.matmul(x.astype(I32) - 3, w.astype(I32))
        case(f"matmulinteger_{name}", node("MatMulInteger", "x,w,z"), {"x": x}, {"y": np.asarray(y, I32)}, {"w": w, "z": array(3, U8)})


def resized():
    for name, scales in [("enlarged", [1, 1, 1.3, 2.1]), ("shrunk", [1, 1, 0.6, 0.4]), ("both", [1, 1, 0.7, 1.5]), ("tripled", [1, 1, 3, 3])]:
        x = array(np.arange(6 * 12).reshape(1, 1, 6, 12))
        y = x
        for axis, scale in enumerate(np.array(scales, F32)):
            rounded = np.ceil if scale < 1 else np.floor
            at = rounded(np.arange(int(F32(x.shape[axis]) * scale), dtype=F32) / scale)
            y = np.take(y, np.minimum(at, x.shape[axis] - 1).astype(int), axis)
        note = "the number before a place of what is enlarged, and behind it of what is made smaller, as ONNX Runtime has it"
        case(f"resize_version_10_{name}", node("Resize", "x,s", mode="nearest"), {"x": x}, {"y": y}, {"s": array(scales)}, opset=10, note=note)
    for before, size in [(7, 4), (11, 6), (3, 2), (4, 7)]:
        x = array(np.arange(before).reshape(1, 1, 1, before))
        y = x[..., [min((2 * it * before + size) // (2 * size), before - 1) for it in range(size)]]
        attributes = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "round_prefer_ceil"}
        sizes = {"z": array([1, 1, 1, size], I64)}
        case(f"resize_ties_{before}_to_{size}", node("Resize", "x,,,z", **attributes), {"x": x}, {"y": y.copy()}, sizes)
    case("resize_ties_of_axes", node("Resize", "x,,,z", axes=[3, 2], **attributes), {"x": array(np.arange(14).reshape(1, 1, 2, 7))}, {"y": array([[[[0, 2, 4, 5]]]])}, {"z": array([4, 1], I64)})


def places():
    x = array(np.arange(15).reshape(3, 5))
    least, most = -(2**63), 2**63 - 1
    for name, start, end, step in [
        ("from_2_62", 2**62, most, 1),
        ("to_2_62", 1, 2**62, 1),
        ("whole", least, most, 1),
        ("backwards", most, least, -1),
        ("backwards_by_two", 2**40, -(2**40), -2),
        ("by_2_40", 1, 5, 2**40),
        ("to_2_31", 0, 2**31 - 1, 3),
        ("empty", 4, 2, 1),
    ]:
        slices = {it: array([value], I64) for it, value in [("st", start), ("en", end), ("ax", 1), ("sp", step)]}
        case(f"slice_{name}", node("Slice", "x,st,en,ax,sp"), {"x": x}, {"y": x[:, start:end:step].copy()}, slices)
    case("slice_attributes", node("Slice", "x", starts=[1], ends=[2**62], axes=[1]), {"x": x}, {"y": x[:, 1:].copy()}, opset=9)
    case("gather_from_the_end", node("Gather", "x,i", axis=1), {"x": x}, {"y": x[:, [-1, -5, 4]]}, {"i": array([-1, -5, 4], I64)})
    case("gathernd_from_the_end", node("GatherND", "x,i"), {"x": x}, {"y": x[[-1, 0], [-5, 4]]}, {"i": array([[-1, -5], [0, 4]], I64)})
    case("gatherelements_from_the_end", node("GatherElements", "x,i", axis=1), {"x": x}, {"y": np.take_along_axis(x, np.array([[-1], [-5], [0]]), 1)}, {"i": array([[-1], [-5], [0]], I64)})
    y = x.copy()
    y[-1, -5] = NAN
    case("scatterelements_from_the_end", node("ScatterElements", "x,i,u", axis=1), {"x": x[:1]}, {"y": array([[0, 1, 2, 3, NAN]])}, {"i": array([[-1]], I64), "u": array([[NAN]])})
    case("scatternd_from_the_end", node("ScatterND", "x,i,u"), {"x": x}, {"y": y}, {"i": array([[-1, -5]], I64), "u": array([NAN])})
    hot = array([[0, 1, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]])
    constants = {"d": array(3, I64), "v": array([0, 1])}
    case("onehot_beyond", node("OneHot", "x,d,v"), {"x": array([1, -1, 3, -4], I64)}, {"y": hot}, constants)
    case("pad_negative", node("Pad", "x,p"), {"x": x}, {"y": x[:, 1:3].copy()}, {"p": array([0, -1, 0, -2], I64)})
    for mode, p in [("wrap", [-1, 2]), ("wrap", [2, -1]), ("wrap", [-2, 4]), ("wrap", [-1, -1]), ("reflect", [-1, 2]), ("reflect", [2, -1]), ("edge", [-1, 2]), ("edge", [2, -1])]:
        row = array(np.arange(5))
        cut = row[max(-p[0], 0) : 5 - max(-p[1], 0)]
        y = np.pad(cut, [max(it, 0) for it in p], mode)
        name = f"pad_{mode}_" + "_".join(f"cut_{-it}" if it < 0 else str(it) for it in p)
        case(name, node("Pad", "x,p", mode=mode), {"x": row}, {"y": y}, {"p": array(p, I64)}, opset=19, note="what is cut off is not repeated" if mode == "wrap" else "")
    case("tile_none", node("Tile", "x,r"), {"x": x}, {"y": np.zeros((3, 0), F32)}, {"r": array([1, 0], I64)})
    nothing = np.zeros((3, 0), F32)
    case("concat_nothing", node("Concat", "x,e", axis=1), {"x": x}, {"y": x}, {"e": nothing})
    for op in ["Relu", "Softmax", "LogSoftmax", "Hardmax"]:
        case(f"{op.lower()}_of_nothing", node(op, "x"), {"x": nothing}, {"y": nothing})
    case("transpose_nothing", node("Transpose", "x", perm=[1, 0]), {"x": nothing}, {"y": nothing.T.copy()})
    case("nonzero_none", node("NonZero", "x"), {"x": np.zeros((2, 2), F32)}, {"y": np.zeros((2, 0), I64)})
    case("nonzero_nan", node("NonZero", "x"), {"x": array([[0, NAN], [-0.0, 1e-40]])}, {"y": array([[0, 1], [1, 1]], I64)}, note="NaN is not zero")


def boxes():
    x = array([[[[-1, -2], [-3, -4]]]])
    with_nan = array([[[[1, NAN], [3, 4]]]])
    batch = array([0], I64)
    whole = {"r": array([[0, 0, 1, 1]]), "b": batch}
    at_once = {"coordinate_transformation_mode": "output_half_pixel", "sampling_ratio": 1}
    for mode, wanted in [("avg", -2.5), ("max", -0.25)]:
        aligned = node("RoiAlign", "x,r,b", mode=mode, **at_once)
        note = "the largest share that one of four numbers has, as in ONNX's own cases, and not the largest number between them"
        case(f"roialign_{mode}", aligned, {"x": x}, {"y": array([[[[wanted]]]])}, whole, note=note if mode == "max" else "")
        case(f"roialign_{mode}_nan", aligned, {"x": with_nan}, {"y": array([[[[NAN]]]])}, whole)
    aligned = node("RoiAlign", "x,r,b")
    case("roialign_no_corner", aligned, {"x": x}, {"y": array([[[[NAN]]]])}, {"r": array([[0, 0, NAN, 1]]), "b": batch}, note="a box without an end is not empty")


def rows_of_tables():
    x = array([[1, NAN], [NAN, NAN], [0.5, -3], [INF, 1], [-INF, 1]])
    tree = {
        "nodes_treeids": [0] * 5, "nodes_nodeids": range(5), "nodes_featureids": [0, 1, 0, 0, 0], "nodes_values": [0.5, 0, 0, 0, 0],
        "nodes_modes": ["BRANCH_LEQ", "BRANCH_GT", "LEAF", "LEAF", "LEAF"], "nodes_truenodeids": [1, 3, 0, 0, 0], "nodes_falsenodeids": [2, 4, 0, 0, 0],
        "nodes_missing_value_tracks_true": [1, 0, 0, 0, 0], "target_treeids": [0] * 3, "target_nodeids": [2, 3, 4], "target_ids": [0] * 3,
        "target_weights": [1.0, 2.0, 4.0], "n_targets": 1,
    }
    case("tree_nan", node("TreeEnsembleRegressor", "x", domain="ai.onnx.ml", **tree), {"x": x}, {"y": array([[1], [4], [4], [1], [2]])})
    nodes = node("Imputer", "x", domain="ai.onnx.ml", imputed_value_floats=[7.0, 8.0], replaced_value_float=NAN)
    case("imputer_nan", nodes, {"x": x}, {"y": np.where(np.isnan(x), array([7, 8]), x)})
    nodes = node("Scaler", "x", domain="ai.onnx.ml", offset=[1.0, 2.0], scale=[0.5, 2.0])
    case("scaler_nan", nodes, {"x": x}, {"y": (x - array([1, 2])) * array([0.5, 2])})
    nodes = node("LabelEncoder", "x", domain="ai.onnx.ml", keys_floats=[1.0, NAN], values_int64s=[5, 6], default_int64=-3)
    x = array([[1, NAN], [-NAN, INF]])
    of_bits = "before version 4 a NaN is the key that has its bits"
    case("labelencoder_nan", nodes, {"x": x}, {"y": array([[5, 6], [-3, -3]], I64)}, note=of_bits)
    case("labelencoder_nan_version_4", nodes, {"x": x}, {"y": array([[5, 6], [6, -3]], I64)}, ml=4)
    nodes = node("LabelEncoder", "x", domain="ai.onnx.ml", keys_floats=[1.0, 0.0], values_int64s=[5, 6], default_int64=-3)
    zeros = {"x": array([[-0.0, 0.0], [1, NAN]])}
    one = "zero is one key, whatever its sign, as in ONNX Runtime"
    for ml in [3, 4]:
        case(f"labelencoder_zero_version_{ml}", nodes, zeros, {"y": array([[6, 6], [5, -3]], I64)}, ml=ml, note=one)
    far = array([[1e4, 1], [-1e4, 1]])
    attributes = {"coefficients": [1.0, 0.0, -1.0, 0.0], "intercepts": [0.0, 0.0], "classlabels_ints": [7, 8], "post_transform": "SOFTMAX"}
    outputs = {"l": array([7, 8], I64), "p": array([[1, 0], [0, 1]])}
    case("linearclassifier_far", node("LinearClassifier", "x", "l,p", domain="ai.onnx.ml", **attributes), {"x": far}, outputs)


with np.errstate(all="ignore"):
    for write in [functions_of_numbers, pairs, integers, casts, reductions, shares, windows, products, narrow_and_wide, resized, places, boxes, rows_of_tables]:
        write()
