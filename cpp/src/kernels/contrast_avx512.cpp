// Loops of contrastive training for AVX-512.

#include "contrast.hpp"

#ifdef VECSMITH_X86

// GCC 12 sees its own undefined-value intrinsics as uninitialised (its bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>

namespace vecsmith::kernels {

namespace {

using Floats = float __attribute__((vector_size(64)));
using Ints = std::int32_t __attribute__((vector_size(64)));
constexpr std::size_t kTileRows = 12;

inline Floats load(const float* x) { return Floats(_mm512_loadu_ps(x)); }

inline Floats multiply_add(Floats a, Floats b, Floats c) {
  return Floats(_mm512_fmadd_ps(__m512(a), __m512(b), __m512(c)));
}

inline Floats root(Floats x) { return Floats(_mm512_sqrt_ps(__m512(x))); }

#include "contrast.inc"

}  // namespace

const ContrastKernels kAvx512Contrast = kContrast;

}  // namespace vecsmith::kernels

#endif
