// The scalar types that one kernel source is instantiated with.
//
//   double          values
//   Dual<Real, N>   a value and N exact directional derivatives (forward-mode differentiation); nested, second derivatives
//   Pack            eight independent computations side by side, for the processor's vector units
//   __float128      reference values in tests
//
// `value(x)` is the number on which a kernel may branch: the real part, and the first lane of a pack (kernels branch
// only on what is the same in every lane). `log_of` and `is_outside` serve LogProduct.
#pragma once

#include <cmath>
#include <limits>

// Loops over the state dimension are unrolled so that the state lives in registers.
#if defined(__clang__)
#define SMOOTHFIT_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define SMOOTHFIT_UNROLL _Pragma("GCC unroll 8")
#else
#define SMOOTHFIT_UNROLL
#endif

namespace smoothfit {

template <class Real, int N>
struct Dual {
    Real re;
    Real eps[N];

    Dual() = default;
    Dual(double number) : re(number) {
        for (int i = 0; i < N; ++i) eps[i] = Real(0.0);
    }
};

template <class Real, int N>
inline Dual<Real, N> operator+(const Dual<Real, N>& a, const Dual<Real, N>& b) {
    Dual<Real, N> c;
    c.re = a.re + b.re;
    for (int i = 0; i < N; ++i) c.eps[i] = a.eps[i] + b.eps[i];
    return c;
}

template <class Real, int N>
inline Dual<Real, N> operator-(const Dual<Real, N>& a, const Dual<Real, N>& b) {
    Dual<Real, N> c;
    c.re = a.re - b.re;
    for (int i = 0; i < N; ++i) c.eps[i] = a.eps[i] - b.eps[i];
    return c;
}

template <class Real, int N>
inline Dual<Real, N> operator*(const Dual<Real, N>& a, const Dual<Real, N>& b) {
    Dual<Real, N> c;
    c.re = a.re * b.re;
    for (int i = 0; i < N; ++i) c.eps[i] = a.re * b.eps[i] + a.eps[i] * b.re;
    return c;
}

template <class Real, int N>
inline Dual<Real, N> operator/(const Dual<Real, N>& a, const Dual<Real, N>& b) {
    Dual<Real, N> c;
    const Real inverse = Real(1.0) / b.re;
    c.re = a.re * inverse;
    for (int i = 0; i < N; ++i) c.eps[i] = (a.eps[i] - c.re * b.eps[i]) * inverse;
    return c;
}

// GCC and Clang are told outright that the lanes are a vector; elsewhere the loops over them are left to the compiler.
struct Pack {
    static constexpr int size = 8;
#if defined(__GNUC__)
    typedef double Lanes __attribute__((vector_size(8 * sizeof(double))));
#else
    typedef double Lanes[8];
#endif
    Lanes lane;

    Pack() = default;
    Pack(double number) {
        for (int i = 0; i < size; ++i) lane[i] = number;
    }
};

#if defined(__GNUC__)
#define SMOOTHFIT_PACK_OPERATOR(op)                          \
    inline Pack operator op(const Pack& a, const Pack& b) {  \
        Pack c;                                              \
        c.lane = a.lane op b.lane;                           \
        return c;                                            \
    }
#else
#define SMOOTHFIT_PACK_OPERATOR(op)                                                  \
    inline Pack operator op(const Pack& a, const Pack& b) {                          \
        Pack c;                                                                      \
        for (int i = 0; i < Pack::size; ++i) c.lane[i] = a.lane[i] op b.lane[i];     \
        return c;                                                                    \
    }
#endif
SMOOTHFIT_PACK_OPERATOR(+)
SMOOTHFIT_PACK_OPERATOR(-)
SMOOTHFIT_PACK_OPERATOR(*)
SMOOTHFIT_PACK_OPERATOR(/)
#undef SMOOTHFIT_PACK_OPERATOR

// Mixed arithmetic with plain numbers; the step lengths and readings of a row are constants to a dual or a pack.
template <class Real, int N>
inline Dual<Real, N> operator*(double a, const Dual<Real, N>& b) {
    Dual<Real, N> c;
    c.re = a * b.re;
    for (int i = 0; i < N; ++i) c.eps[i] = a * b.eps[i];
    return c;
}

template <class Real, int N>
inline Dual<Real, N> operator-(double a, const Dual<Real, N>& b) {
    Dual<Real, N> c;
    c.re = a - b.re;
    for (int i = 0; i < N; ++i) c.eps[i] = Real(0.0) - b.eps[i];
    return c;
}

inline Pack operator*(double a, const Pack& b) { return Pack(a) * b; }
inline Pack operator-(double a, const Pack& b) { return Pack(a) - b; }

template <class Real>
inline double value(const Real& x) {
    return static_cast<double>(x);
}
template <class Real, int N>
inline double value(const Dual<Real, N>& x) {
    return value(x.re);
}
inline double value(const Pack& x) {
    return x.lane[0];
}

// True where x has left [1e-100, 1e100], so that a further factor within [1e-200, 1e200] cannot overflow it (NaN too).
template <class Real>
inline bool is_outside(const Real& x) {
    return !(x > 1e-100 && x < 1e100);
}
template <class Real, int N>
inline bool is_outside(const Dual<Real, N>& x) {
    return is_outside(x.re);
}
inline bool is_outside(const Pack& x) {
    bool outside = false;
    for (int i = 0; i < Pack::size; ++i) outside |= !(x.lane[i] > 1e-100 && x.lane[i] < 1e100);
    return outside;
}

inline double log_of(double x) { return std::log(x); }

inline Pack log_of(const Pack& x) {
    Pack c;
    for (int i = 0; i < Pack::size; ++i) c.lane[i] = std::log(x.lane[i]);
    return c;
}

template <class Real, int N>
inline Dual<Real, N> log_of(const Dual<Real, N>& x) {
    Dual<Real, N> c;
    c.re = log_of(x.re);
    for (int i = 0; i < N; ++i) c.eps[i] = x.eps[i] / x.re;
    return c;
}

#if defined(SMOOTHFIT_QUAD)
inline __float128 log_of(__float128 x) {
    // log(x) to quadruple precision by one Newton step on exp would need libquadmath; double is enough for reference
    // values of log-likelihoods, whose other terms are summed in quadruple precision.
    return std::log(static_cast<double>(x));
}
#endif

// The logarithm of a long product, by one logarithm in some hundred factors instead of one each.
template <class Real>
class LogProduct {
public:
    void multiply(const Real& factor) {
        product_ = product_ * factor;
        if (is_outside(product_)) flush();
    }
    Real log() {
        flush();
        return sum_;
    }

private:
    void flush() {
        sum_ = sum_ + log_of(product_);
        product_ = Real(1.0);
    }
    Real product_ = Real(1.0);
    Real sum_ = Real(0.0);
};

}  // namespace smoothfit
