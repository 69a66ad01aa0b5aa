// The Python module: one file of bindings for each subject.
#include <exception>
#include <new>
#include <stdexcept>

#include "bindings.hpp"
#include "bindings_mixtures.hpp"

namespace {

// A failed allocation is smoothfit's ResourceError, which is a MemoryError, too.
void translate_failed_allocation(const std::exception_ptr& pointer, void*) {
    const auto raise = [] {
        const nb::object error = nb::module_::import_("smoothfit.errors").attr("ResourceError");
        PyErr_SetString(error.ptr(), "there is not enough memory for a computation of this size; pass fewer points or draws at a time");
    };
    try {
        std::rethrow_exception(pointer);
    } catch (const std::bad_alloc&) {
        raise();
    } catch (const std::length_error&) {  // a vector longer than any memory
        raise();
    }
}

}  // namespace

NB_MODULE(_kernels, module) {
    nb::register_exception_translator(translate_failed_allocation);
    nb::set_leak_warnings(false);  // objects may be alive when the interpreter ends
    module.doc() = "Compiled kernels of smoothfit; see the headers in smoothfit/_core for the algorithms.";
    module.attr("VERSION") = SMOOTHFIT_VERSION;
    kernel_error = PyErr_NewExceptionWithDoc("smoothfit._core._kernels.KernelError",
                                             "A kernel stopped: (what happened, where), for example ('overflow', row).",
                                             PyExc_ArithmeticError, nullptr);
    module.attr("KernelError") = nb::handle(kernel_error);
    bind_basis(module);
    bind_many(module);
    bind_mixtures(module);
    bind_sampling(module);
    bind_filtered(module);
    bind_linear(module);
    bind_markov(module);
    bind_regression(module);
    bind_statespace(module);
}
