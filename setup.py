"""Build the C-speed kernels of `ext/` against the stable ABI of CPython 3.11: one wheel an architecture."""

from Cython.Build import cythonize
from setuptools import Extension, setup

LIMITED_API = "0x030B0000"  # Py_LIMITED_API of CPython 3.11, the oldest version that runs here

KERNELS = ("series", "plan", "packer", "unpacker", "pgcopy")

extensions = [
    Extension(
        f"ext.{name}",
        [f"ext/{name}.pyx"],
        include_dirs=["ext"],
        depends=["ext/cdf.h"],
        define_macros=[("Py_LIMITED_API", LIMITED_API)],
        extra_compile_args=["-O3"],
        py_limited_api=True,
    )
    for name in KERNELS
]

setup(
    ext_modules=cythonize(extensions, language_level=3, build_dir="build/cython"),
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
