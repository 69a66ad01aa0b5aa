// The integrated Wiener process: f^(m) is white noise of intensity q, the state is (f, f', ..., f^(m-1)).
//
// Over a step of length d the state moves by x(t + d) = T x(t) + eta, Var eta = Q, with
//
//   T_ij = d^(j-i) / (j-i)!                                                              (j >= i)
//   Q_ij = q d^(a+b+1) / [(a+b+1) a! b!],   a = m-1-i,  b = m-1-j.
//
// Q is the Gram matrix of the monomials u^a / a! on [0, d]; in the basis of Legendre polynomials on [0, d] it is
// diagonal, which gives its factors in closed form: Q = sum_r c_r v_r v_r', r = 0 .. m-1, with
//
//   (v_r)_i = d^(a-r) a! (2r+1)! / [r! (a-r)! (a+r+1)!]  (a >= r),   c_r = q d^(2r+1) (r!)^2 / [(2r)! (2r+1)!].
//
// Component i = m-1-r of v_r is one and those below are zero: the v_r are the columns of a unit upper triangle.
#pragma once

#include "scalar.hpp"

namespace smoothfit {

constexpr double factorial[] = {1, 1, 2, 6, 24, 120, 720, 5040, 40320, 362880};

// All numerators and denominators are small integers, exact in double; the quotient is rounded once, in Step.
constexpr double legendre_numerator(int a, int r) { return factorial[a] * factorial[2 * r + 1]; }
constexpr double legendre_denominator(int a, int r) { return factorial[r] * factorial[a - r] * factorial[a + r + 1]; }
constexpr double norm_numerator(int r) { return factorial[r] * factorial[r]; }
constexpr double norm_denominator(int r) { return factorial[2 * r] * factorial[2 * r + 1]; }

// Step lengths are constants to dual numbers and packs, hence double; a reference computation has them as wide as the rest.
template <class Real>
struct Length {
    using type = double;
};
#if defined(SMOOTHFIT_QUAD)
template <>
struct Length<__float128> {
    using type = __float128;
};
#endif
template <class Real>
using length_t = typename Length<Real>::type;

// What depends on the step length alone.
template <class Real, int M>
struct Step {
    Real taylor[M];       // d^j / j!
    Real noise[M][M];     // noise[r]: the column v_r; entries beyond component M-1-r are not set
    Real intensity[M];    // c_r / q

    explicit SMOOTHFIT_INLINE Step(Real d) {
        Real power[2 * M];
        power[0] = Real(1.0);
        SMOOTHFIT_UNROLL
        for (int j = 1; j < 2 * M; ++j) power[j] = power[j - 1] * d;
        SMOOTHFIT_UNROLL
        for (int j = 0; j < M; ++j) taylor[j] = power[j] * (Real(1.0) / Real(factorial[j]));
        SMOOTHFIT_UNROLL
        for (int r = 0; r < M; ++r) {
            intensity[r] = power[2 * r + 1] * (Real(norm_numerator(r)) / Real(norm_denominator(r)));
            SMOOTHFIT_UNROLL
            for (int i = 0; i <= M - 1 - r; ++i) {
                const int a = M - 1 - i;
                noise[r][i] = power[a - r] * (Real(legendre_numerator(a, r)) / Real(legendre_denominator(a, r)));
            }
        }
    }
};

}  // namespace smoothfit
