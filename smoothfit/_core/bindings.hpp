// What the files that know Python share. They check sizes, release the GIL, run a kernel and turn its status into an exception.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <type_traits>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "status.hpp"

namespace nb = nanobind;
using namespace nb::literals;

template <class T>
using In = nb::ndarray<const T, nb::c_contig, nb::device::cpu>;
template <class T>
using Out = nb::ndarray<nb::numpy, T>;
using Doubles = Out<double>;
// A tuple whose entries have types in the stub.
template <class... T>
using Tuple = nb::typed<nb::tuple, T...>;

inline PyObject* kernel_error = nullptr;

inline void check(bool holds, const char* message) {
    if (!holds) throw nb::value_error(message);
}

// KernelError(kind of the outcome, where).
inline void raise_unless_ok(smoothfit::Status status) {
    if (status.outcome == smoothfit::Outcome::ok) return;
    nb::object args = nb::make_tuple(smoothfit::name_of(status.outcome), status.where);
    PyErr_SetObject(kernel_error, args.ptr());
    throw nb::python_error();
}

// Runs a kernel without the GIL, and raises what its status says.
template <class Kernel>
void run_unlocked(const Kernel& kernel) {
    smoothfit::Status status;
    {
        nb::gil_scoped_release release;
        status = kernel();
    }
    raise_unless_ok(status);
}

// Asks for huge pages behind a large array, as NumPy does for its own: the first touch of small ones costs more than a kernel.
inline void advise_huge_pages(void* data, std::size_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (bytes < (std::size_t{1} << 22)) return;
    const auto start = reinterpret_cast<std::uintptr_t>(data), page = std::uintptr_t{4096};
    const std::uintptr_t first = (start + page - 1) / page * page;
    madvise(reinterpret_cast<void*>(first), bytes - (first - start), MADV_HUGEPAGE);  // advice: a refusal changes nothing
#else
    (void)data;
    (void)bytes;
#endif
}

template <class T>
Out<T> new_array_of(std::initializer_list<std::size_t> shape) {
    std::size_t size = 1;
    for (std::size_t s : shape) size *= s;
    std::unique_ptr<T[]> data(new T[size ? size : 1]);
    advise_huge_pages(data.get(), size * sizeof(T));
    nb::capsule owner(data.get(), [](void* p) noexcept { delete[] static_cast<T*>(p); });
    return Out<T>(data.release(), shape, owner);
}

inline Doubles new_array(std::initializer_list<std::size_t> shape) { return new_array_of<double>(shape); }

// Calls f(std::integral_constant<int, size>) for a size that has been checked: least <= size <= most.
template <int least, int most, class F>
auto with_size(int size, const F& f) {
    if constexpr (least < most)
        if (size != least) return with_size<least + 1, most>(size, f);
    return f(std::integral_constant<int, least>());
}

void bind_basis(nb::module_& module);
void bind_filtered(nb::module_& module);
void bind_many(nb::module_& module);
void bind_sampling(nb::module_& module);
void bind_linear(nb::module_& module);
void bind_markov(nb::module_& module);
void bind_markov_smoother(nb::module_& module);
void bind_regression(nb::module_& module);
void bind_statespace(nb::module_& module);
