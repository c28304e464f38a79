# nvcc and how it is called: code for sm_90a and sm_100a, and PTX that any later GPU, and any since sm_80, can compile.
if(BRAID_CUDA)
  set(CMAKE_CUDA_ARCHITECTURES OFF)
  set(CMAKE_CUDA_STANDARD 20)  # CMake 3.25 adds 17 otherwise, and says nothing for 20
  enable_language(CUDA)
  find_package(CUDAToolkit REQUIRED)
  set(braid_cuda_options
    -std=c++20
    -gencode=arch=compute_90a,code=sm_90a
    -gencode=arch=compute_100a,code=sm_100a
    -gencode=arch=compute_80,code=compute_80
    --Werror=all-warnings -Xcudafe=--display_error_number
    -Xcompiler=-Wall,-Wextra,-Werror,-Wno-missing-field-initializers,-ffp-contract=off)
endif()

# Without nvcc the tests have CUDA on an emulation; TSan cannot follow its fibers.
set(BRAID_CUDA_EMULATED OFF)
if(BRAID_TESTS AND NOT BRAID_CUDA AND NOT BRAID_SANITIZE MATCHES "thread")
  set(BRAID_CUDA_EMULATED ON)
endif()
