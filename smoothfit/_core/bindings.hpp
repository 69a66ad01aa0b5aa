// What the files that know Python share. They check sizes, release the GIL, run a kernel and turn its status into an exception.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstddef>
#include <initializer_list>
#include <memory>

#include "status.hpp"

namespace nb = nanobind;

template <class T>
using In = nb::ndarray<const T, nb::c_contig, nb::device::cpu>;
template <class T>
using Out = nb::ndarray<nb::numpy, T>;
using Doubles = Out<double>;

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

template <class T>
Out<T> new_array_of(std::initializer_list<std::size_t> shape) {
    std::size_t size = 1;
    for (std::size_t s : shape) size *= s;
    std::unique_ptr<T[]> data(new T[size ? size : 1]);
    nb::capsule owner(data.get(), [](void* p) noexcept { delete[] static_cast<T*>(p); });
    return Out<T>(data.release(), shape, owner);
}

inline Doubles new_array(std::initializer_list<std::size_t> shape) { return new_array_of<double>(shape); }

void bind_basis(nb::module_& module);
void bind_many(nb::module_& module);
void bind_sampling(nb::module_& module);
void bind_statespace(nb::module_& module);
