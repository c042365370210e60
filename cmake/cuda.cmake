# Builds the extension module byhand._cuda: the operators of csrc/cuda, for GPUs of NVIDIA or for the emulator.
#
# The module links the CUDA runtime statically and the driver's library not at all, so that a machine without a driver
# can import it. This file calls nvcc itself instead of enable_language(CUDA): CMake 3.25 does not know that nvcc
# compiles C++20, and CMake's tests of the compiler take longer than many of our files.
file(GLOB cuda_kernels CONFIGURE_DEPENDS csrc/cuda/*.cu)
file(GLOB cuda_sources CONFIGURE_DEPENDS csrc/cuda/*.cc)
file(GLOB inputs CONFIGURE_DEPENDS csrc/cuda/*.h csrc/cuda/*.cuh csrc/core/*.h csrc/ops/*.h)
file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/cuda)

if(BYHAND_CUDA STREQUAL "ON")
  set(BYHAND_CUDA_TOOLKIT "" CACHE PATH "The folder of a CUDA toolkit. If empty, tools/find_cuda.py finds one")
  # all-major: machine code for each major architecture that nvcc knows, and PTX of the newest for later GPUs.
  set(BYHAND_CUDA_ARCHITECTURES all-major CACHE STRING "nvcc's -arch, such as sm_90 for a quicker build")
  execute_process(
    COMMAND ${Python_EXECUTABLE} ${PROJECT_SOURCE_DIR}/tools/find_cuda.py --toolkit "${BYHAND_CUDA_TOOLKIT}"
            --host-compiler ${CMAKE_CXX_COMPILER}
    RESULT_VARIABLE failed OUTPUT_VARIABLE found ERROR_VARIABLE error OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(failed)
    message(FATAL_ERROR "BYHAND_CUDA=ON: ${error}")
  endif()
  string(REPLACE "\n" ";" found "${found}")
  list(GET found 0 nvcc)
  list(GET found 1 include)
  list(GET found 2 runtime)
  message(STATUS "BYHAND_CUDA: ${nvcc}")
  if(CMAKE_COMPILE_WARNING_AS_ERROR)
    set(warnings -Werror all-warnings -Xptxas -warn-spills)
  endif()
  set(compile ${nvcc} -std=c++20 -O3 -DNDEBUG -arch=${BYHAND_CUDA_ARCHITECTURES} --threads 2 ${warnings}
      -I${PROJECT_SOURCE_DIR}/csrc -ccbin ${CMAKE_CXX_COMPILER} -Xcompiler=-fPIC,-fvisibility=hidden -c -o)
else()
  # The emulator's translator takes the place of nvcc, and csrc/simt takes that of the CUDA runtime.
  set(include ${PROJECT_SOURCE_DIR}/csrc/simt/include)
  set(compile ${CMAKE_COMMAND} -E env CXX=${CMAKE_CXX_COMPILER} ${Python_EXECUTABLE}
      ${PROJECT_SOURCE_DIR}/cmake/compile_emulated.py)
  file(GLOB simt_sources CONFIGURE_DEPENDS csrc/simt/*.cc)
  file(GLOB emulator CONFIGURE_DEPENDS csrc/simt/include/*.h python/byhand/simt/*.py)
  list(APPEND inputs ${emulator} cmake/compile_emulated.py)
  # GCC 12 warns of a copy inside std::string that cannot happen (bug 105651).
  set_source_files_properties(csrc/simt/report.cc PROPERTIES COMPILE_OPTIONS $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>)
endif()

foreach(kernel IN LISTS cuda_kernels)
  cmake_path(GET kernel STEM name)
  set(object ${PROJECT_BINARY_DIR}/cuda/${name}.o)
  add_custom_command(
    OUTPUT ${object} DEPENDS ${kernel} ${inputs} VERBATIM
    COMMAND ${compile} ${object} ${kernel}
    COMMENT "Compiling csrc/cuda/${name}.cu")
  list(APPEND objects ${object})
endforeach()

python_add_library(_cuda MODULE ${cuda_sources} ${simt_sources} ${objects} WITH_SOABI)
target_include_directories(_cuda SYSTEM PRIVATE ${include})
target_link_libraries(_cuda PRIVATE byhand_flags ${runtime} Threads::Threads ${CMAKE_DL_LIBS} rt)
# Not install(TARGETS), because pip then strips the debug information, in which the emulator finds the lines of findings.
install(PROGRAMS $<TARGET_FILE:_cuda> DESTINATION byhand)
