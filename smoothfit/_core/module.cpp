// The Python module: one file of bindings for each subject.
#include "bindings.hpp"

NB_MODULE(_kernels, module) {
    nb::set_leak_warnings(false);  // objects may be alive when the interpreter ends
    module.doc() = "Compiled kernels of smoothfit; see the headers in smoothfit/_core for the algorithms.";
    module.attr("__version__") = SMOOTHFIT_VERSION;
    kernel_error = PyErr_NewExceptionWithDoc("smoothfit._core._kernels.KernelError",
                                             "A kernel stopped: (what happened, where), for example ('overflow', row).",
                                             PyExc_ArithmeticError, nullptr);
    module.attr("KernelError") = nb::handle(kernel_error);
    bind_basis(module);
    bind_many(module);
    bind_sampling(module);
    bind_filtered(module);
    bind_linear(module);
    bind_regression(module);
    bind_statespace(module);
}
