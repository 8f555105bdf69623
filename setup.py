"""The three extension modules; everything static stands in pyproject.toml.

They are written to the limited API of CPython 3.11, so that one wheel serves every later version. A
free-threaded interpreter has no limited API yet: there a wheel for just that version is built.
"""

import sysconfig

from Cython.Build import cythonize
from setuptools import Extension, setup

LIMITED_API = "0x030B0000"
free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))

macros = [] if free_threaded else [("Py_LIMITED_API", LIMITED_API)]
directives = {
    "language_level": 3,
    "boundscheck": False,  # no indexing of Python containers on the hot paths; buffers go through checked cursors
    "wraparound": False,
    "cdivision": True,
    "embedsignature": False,
    "freethreading_compatible": True,
}

extensions = [
    Extension(
        f"rtspkit.{name}",
        [f"rtspkit/{name}.pyx"],
        define_macros=macros,
        py_limited_api=not free_threaded,
        extra_compile_args=["-O3", "-g0"],
    )
    for name in ("_rtp", "_fmp4", "_flac")
]

setup(
    ext_modules=cythonize(extensions, compiler_directives=directives),
    options={} if free_threaded else {"bdist_wheel": {"py_limited_api": "cp311"}},
)
