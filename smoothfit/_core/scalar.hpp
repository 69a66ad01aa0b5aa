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
#include <cstring>
#include <limits>

// Loops over the state dimension are unrolled so that the state lives in registers.
#if defined(SMOOTHFIT_PLAIN)
#define SMOOTHFIT_UNROLL
#elif defined(__clang__)
#define SMOOTHFIT_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define SMOOTHFIT_UNROLL _Pragma("GCC unroll 8")
#else
#define SMOOTHFIT_UNROLL
#endif

// The parts of a filter step are inlined whatever their size, for the same reason; the loop over the rows never is, so
// that it has the registers to itself.
#if defined(SMOOTHFIT_PLAIN)  // for sanitizers, which would take minutes to compile the rest
#define SMOOTHFIT_INLINE inline
#define SMOOTHFIT_NOINLINE
#elif defined(__GNUC__)
#define SMOOTHFIT_INLINE inline __attribute__((always_inline))
#define SMOOTHFIT_NOINLINE __attribute__((noinline))
#elif defined(_MSC_VER)
#define SMOOTHFIT_INLINE __forceinline
#define SMOOTHFIT_NOINLINE __declspec(noinline)
#else
#define SMOOTHFIT_INLINE inline
#define SMOOTHFIT_NOINLINE
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

#if defined(__GNUC__)
// Two derivatives are one vector, as GCC and Clang are told outright.
template <>
struct Dual<double, 2> {
    typedef double Vector __attribute__((vector_size(2 * sizeof(double))));
    Vector eps;
    double re;

    Dual() = default;
    Dual(double number) : eps{}, re(number) {}
    Dual(double number, const Vector& along) : eps(along), re(number) {}
};

using DualPair = Dual<double, 2>;
SMOOTHFIT_INLINE DualPair operator+(const DualPair& a, const DualPair& b) { return {a.re + b.re, a.eps + b.eps}; }
SMOOTHFIT_INLINE DualPair operator-(const DualPair& a, const DualPair& b) { return {a.re - b.re, a.eps - b.eps}; }
SMOOTHFIT_INLINE DualPair operator*(const DualPair& a, const DualPair& b) { return {a.re * b.re, a.re * b.eps + a.eps * b.re}; }
SMOOTHFIT_INLINE DualPair operator/(const DualPair& a, const DualPair& b) {
    const double inverse = 1.0 / b.re, ratio = a.re * inverse;
    return {ratio, (a.eps - ratio * b.eps) * inverse};
}
SMOOTHFIT_INLINE DualPair operator*(double a, const DualPair& b) { return {a * b.re, a * b.eps}; }
SMOOTHFIT_INLINE DualPair operator-(double a, const DualPair& b) { return {a - b.re, 0.0 - b.eps}; }
#endif

template <class Real, int N>
SMOOTHFIT_INLINE Dual<Real, N> operator+(const Dual<Real, N>& a, const Dual<Real, N>& b) {
    Dual<Real, N> c;
    c.re = a.re + b.re;
    for (int i = 0; i < N; ++i) c.eps[i] = a.eps[i] + b.eps[i];
    return c;
}

template <class Real, int N>
SMOOTHFIT_INLINE Dual<Real, N> operator-(const Dual<Real, N>& a, const Dual<Real, N>& b) {
    Dual<Real, N> c;
    c.re = a.re - b.re;
    for (int i = 0; i < N; ++i) c.eps[i] = a.eps[i] - b.eps[i];
    return c;
}

template <class Real, int N>
SMOOTHFIT_INLINE Dual<Real, N> operator*(const Dual<Real, N>& a, const Dual<Real, N>& b) {
    Dual<Real, N> c;
    c.re = a.re * b.re;
    for (int i = 0; i < N; ++i) c.eps[i] = a.re * b.eps[i] + a.eps[i] * b.re;
    return c;
}

template <class Real, int N>
SMOOTHFIT_INLINE Dual<Real, N> operator/(const Dual<Real, N>& a, const Dual<Real, N>& b) {
    Dual<Real, N> c;
    const Real inverse = Real(1.0) / b.re;
    c.re = a.re * inverse;
    for (int i = 0; i < N; ++i) c.eps[i] = (a.eps[i] - c.re * b.eps[i]) * inverse;
    return c;
}

// GCC and Clang are told outright that pairs of lanes are vectors; elsewhere that is left to the compiler.
struct Pack {
    static constexpr int size = 8;
#if defined(__GNUC__)
    typedef double Vector __attribute__((vector_size(2 * sizeof(double))));
    static constexpr int width = 2;
#else
    typedef double Vector;
    static constexpr int width = 1;
#endif
    static constexpr int n_vectors = size / width;
    Vector vector[n_vectors];

    Pack() = default;
    Pack(double number) {
        SMOOTHFIT_UNROLL
        for (int i = 0; i < n_vectors; ++i) vector[i] = number - Vector{};
    }
    double get(int i) const {
        double lanes[size];
        std::memcpy(lanes, vector, sizeof lanes);
        return lanes[i];
    }
    void set(int i, double number) {
        double lanes[size];
        std::memcpy(lanes, vector, sizeof lanes);
        lanes[i] = number;
        std::memcpy(vector, lanes, sizeof lanes);
    }
};

#define SMOOTHFIT_PACK_OPERATOR(op)                                                                        \
    SMOOTHFIT_INLINE Pack operator op(const Pack& a, const Pack& b) {                                                \
        Pack c;                                                                                            \
        SMOOTHFIT_UNROLL                                                                                   \
        for (int i = 0; i < Pack::n_vectors; ++i) c.vector[i] = a.vector[i] op b.vector[i];                \
        return c;                                                                                          \
    }
SMOOTHFIT_PACK_OPERATOR(+)
SMOOTHFIT_PACK_OPERATOR(-)
SMOOTHFIT_PACK_OPERATOR(*)
SMOOTHFIT_PACK_OPERATOR(/)
#undef SMOOTHFIT_PACK_OPERATOR

// Mixed arithmetic with plain numbers; the step lengths and observations of a row are constants to a dual or a pack.
template <class Real, int N>
SMOOTHFIT_INLINE Dual<Real, N> operator*(double a, const Dual<Real, N>& b) {
    Dual<Real, N> c;
    c.re = a * b.re;
    for (int i = 0; i < N; ++i) c.eps[i] = a * b.eps[i];
    return c;
}

template <class Real, int N>
SMOOTHFIT_INLINE Dual<Real, N> operator-(double a, const Dual<Real, N>& b) {
    Dual<Real, N> c;
    c.re = a - b.re;
    for (int i = 0; i < N; ++i) c.eps[i] = Real(0.0) - b.eps[i];
    return c;
}

SMOOTHFIT_INLINE Pack operator*(double a, const Pack& b) { return Pack(a) * b; }
SMOOTHFIT_INLINE Pack operator-(double a, const Pack& b) { return Pack(a) - b; }

template <class Real>
SMOOTHFIT_INLINE double value(const Real& x) {
    return static_cast<double>(x);
}
template <class Real, int N>
SMOOTHFIT_INLINE double value(const Dual<Real, N>& x) {
    return value(x.re);
}
SMOOTHFIT_INLINE double value(const Pack& x) {
    return x.get(0);
}

// True where x has left [1e-100, 1e100], so that a further factor within [1e-200, 1e200] cannot overflow it (NaN too).
template <class Real>
SMOOTHFIT_INLINE bool is_outside(const Real& x) {
    return !(x > 1e-100 && x < 1e100);
}
template <class Real, int N>
SMOOTHFIT_INLINE bool is_outside(const Dual<Real, N>& x) {
    return is_outside(x.re);
}
SMOOTHFIT_INLINE bool is_outside(const Pack& x) {
#if defined(__GNUC__)
    auto inside = (x.vector[0] > 1e-100) & (x.vector[0] < 1e100);
    SMOOTHFIT_UNROLL
    for (int i = 1; i < Pack::n_vectors; ++i) inside &= (x.vector[i] > 1e-100) & (x.vector[i] < 1e100);
    return !(inside[0] & inside[1]);
#else
    bool inside = true;
    for (int i = 0; i < Pack::size; ++i) inside &= x.vector[i] > 1e-100 && x.vector[i] < 1e100;
    return !inside;
#endif
}

inline double log_of(double x) { return std::log(x); }

SMOOTHFIT_INLINE Pack log_of(const Pack& x) {
    Pack c;
    for (int i = 0; i < Pack::size; ++i) c.set(i, std::log(x.get(i)));
    return c;
}

template <class Real, int N>
SMOOTHFIT_INLINE Dual<Real, N> log_of(const Dual<Real, N>& x) {
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
    SMOOTHFIT_INLINE void multiply(const Real& factor) {
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
